import type { CoreInfo } from './core-info.js';
import { kindOfTarget } from './file-kind.js';
import type { SnapshotInfo } from './snapshot-info.js';
import type { FileTarget, Opening } from './target.js';

/**
 * Reads a snapshot or a core to its end and says what is in it and whether it is whole. `bin` and `debugDir` matter for
 * cores alone. Throws GospyError where the file is neither, or cannot be opened; other damage becomes a problem.
 */
export async function inspectFile(spec: FileTarget, opening: Opening = {}): Promise<CoreInfo | SnapshotInfo> {
  const kind = kindOfTarget(spec.file);
  opening.signal?.throwIfAborted();
  if (kind.kind === 'snapshot') {
    const { snapshotInfo } = await import('./snapshot-info.js');
    return snapshotInfo(spec.file);
  }
  const [{ openCoreFile }, { coreInfo }] = await Promise.all([import('./open-core.js'), import('./core-info.js')]);
  return coreInfo(await openCoreFile(spec.file, kind, opening), spec);
}

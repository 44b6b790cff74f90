import { openCore, type Core } from '../../snapshots/elf/core-image.js';
import type { CoreFile } from './file-kind.js';
import type { Opening } from './target.js';

/**
 * Opens a core, after unpacking it into a temporary file where it is compressed. Throws GospyError, or the reason of
 * `signal` once that is aborted.
 */
export async function openCoreFile(path: string, { packing }: CoreFile, opening: Opening): Promise<Core> {
  if (packing === null) return openCore(path);
  const { progress, signal } = opening;
  const { unpackCore } = await import('../../snapshots/unpack.js');
  const report = (bytes: number): void => progress?.(`unpacking ${path}`, bytes);
  report(0);
  const { fd, problem } = await unpackCore(path, packing, report, signal);
  return openCore(path, { fd, problems: problem === null ? [] : [problem] });
}

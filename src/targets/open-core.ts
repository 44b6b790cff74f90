import { openCore, type Core } from '../../snapshots/elf/core-image.js';
import { badFile, GospyError } from '../../snapshots/errors.js';
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
  if (problem === null) return openCore(path, { fd, problem });
  try {
    return openCore(path, { fd, problem });
  } catch (error) {
    // What is left ends within the headers.
    if (!(error instanceof GospyError)) throw error;
    const hint = 'copy the file again from where it was written, if that one is whole';
    throw badFile(`${problem.message}; in what is left, ${error.message}`, { hint, cause: error });
  }
}

import { openCore, type Core } from '../../snapshots/elf/core-image.js';
import type { Io } from '../io.js';
import { size } from '../render/text.js';
import type { CoreFile } from './open-target.js';

/** Opens a core, unpacked first where it is compressed. Throws GospyError. */
export async function openCoreFile(io: Io, path: string, { packing }: CoreFile): Promise<Core> {
  if (packing === null) return openCore(path);
  const { unpackCore } = await import('../../snapshots/unpack.js');
  const told = (bytes: number): void => io.progress(`unpacking ${path}: ${size(bytes)}`);
  told(0);
  const { fd, problem } = await unpackCore(path, packing, told);
  return openCore(path, { fd, problems: problem === null ? [] : [problem] });
}

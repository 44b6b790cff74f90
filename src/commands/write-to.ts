import { onInterrupt } from '../interrupt.js';
import type { Io } from '../io.js';
import type { Output } from '../output.js';
import { printable, size } from '../render/text.js';

/**
 * Has `fill` write to standard output, or to the file at `path`, which is replaced in one step or not at all; `about` is said of the
 * file beside its size.
 */
export async function writeTo(
  io: Io,
  path: string | undefined,
  fill: (output: Output) => Promise<void>,
  about = '',
): Promise<void> {
  if (path === undefined) return fill(io);
  const [{ FileOutput }, { removeUnfinished }] = await Promise.all([
    import('../output.js'),
    import('../../snapshots/atomic-file.js'),
  ]);
  const forget = onInterrupt(removeUnfinished);
  const bytes = await FileOutput.fill(path, fill).finally(forget);
  await io.write(`${printable(path)}: ${size(bytes)}${about}\n`);
}

import { ADDR_LIMIT, addr } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import type { ProcessImage } from '../../snapshots/image.js';

/** Texts that take the place of others, of as many bytes or fewer. */
export type Replacements = readonly (readonly [from: string, to: string])[];

/** Writes a snapshot again with other texts in its memory, and with what `change` makes of the rest. */
export async function rewriteSnapshot(
  from: string,
  to: string,
  replacements: Replacements,
  change: (image: ProcessImage) => ProcessImage = (image) => image,
): Promise<void> {
  const image = openSnapshot(from);
  const ranges = [...image.memory.ranges(addr(0), addr(ADDR_LIMIT - 1))];
  const segments = ranges.map(({ lo, hi }) => ({
    addr: lo,
    bytes: replaced(image.memory.bytes(lo, hi - lo), replacements),
  }));
  await writeSnapshot(to, { image: change(image), memory: [segments] });
  image.close();
}

function replaced(bytes: Uint8Array, replacements: Replacements): Uint8Array {
  let text = Buffer.from(bytes).toString('latin1');
  for (const [from, to] of replacements) {
    text = text.replaceAll(from, Buffer.from(to).toString('latin1').padEnd(from.length, '.').slice(0, from.length));
  }
  return Buffer.from(text, 'latin1');
}

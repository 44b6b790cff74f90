import t from 'tap';
import { findBytes } from '../../../analyze/binary/scan.js';
import { addr } from '../../../snapshots/address.js';
import { Memory, SegmentSource } from '../../../snapshots/memory.js';

const LO = 0x1000;
const NEEDLE = Buffer.from('needles', 'latin1');
const TEXT = Buffer.from('..needles.needlesneedles..need..needles', 'latin1');

/** The text, cut at some offsets into segments that touch. */
function cutAt(cuts: readonly number[]): Memory {
  const edges = [0, ...cuts, TEXT.length];
  return new Memory(
    new SegmentSource(
      edges.slice(1).map((end, i) => ({ addr: addr(LO + (edges[i] ?? 0)), bytes: TEXT.subarray(edges[i], end) })),
    ),
  );
}

t.test('scan: what lies across any number of short segments is found, once', (t) => {
  const range = { lo: addr(LO), hi: addr(LO + TEXT.length) };
  const expected = [2, 10, 17, 32].map((at) => LO + at);
  for (const step of [1, 2, 3, 5, 6, 7, 8, 20, TEXT.length]) {
    const cuts = [...TEXT.keys()].filter((at) => at > 0 && at % step === 0);
    t.same([...findBytes(cutAt(cuts), [range], NEEDLE, 1)], expected, `segments of ${step} bytes`);
  }
  t.end();
});

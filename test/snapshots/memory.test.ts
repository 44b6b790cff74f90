import t, { type Test } from 'tap';
import { addr, NIL } from '../../snapshots/address.js';
import {
  LayeredSource,
  Memory,
  MemoryFault,
  SegmentSource,
  type MemorySource,
  type Segment,
} from '../../snapshots/memory.js';
import { random, someSegment } from '../support/gsp.js';

function memoryOf(...segments: [number, number[]][]): Memory {
  return new Memory(
    new SegmentSource(segments.map(([at, bytes]) => ({ addr: addr(at), bytes: Uint8Array.from(bytes) }))),
  );
}

t.test('memory: reads across the border of two segments', (t) => {
  const bytes = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x07, 0x00];
  const expected = Buffer.from(bytes);
  for (let cut = 1; cut < 8; cut++) {
    const memory = memoryOf([1000, bytes.slice(0, cut)], [1000 + cut, bytes.slice(cut)]);
    t.equal(memory.u64(addr(1000)), expected.readBigUInt64LE(), `u64 cut at ${cut}`);
    t.equal(memory.word(addr(1000)), Number(expected.readBigUInt64LE()), `word cut at ${cut}`);
    t.equal(memory.wordOr0(addr(990), 10), memory.word(addr(1000)), `wordOr0 cut at ${cut}`);
    t.equal(memory.ptr(addr(990), 10), Number(expected.readBigUInt64LE()), `ptr cut at ${cut}`);
    t.equal(memory.u32(addr(1002)), expected.readUInt32LE(2), `u32 cut at ${cut}`);
    t.equal(memory.u16(addr(1001)), expected.readUInt16LE(1), `u16 cut at ${cut}`);
    t.same([...memory.bytes(addr(1000), 8)], bytes, `bytes cut at ${cut}`);
  }
  t.end();
});

t.test('memory: a read past the known bytes faults at the first absent byte', (t) => {
  const memory = memoryOf([1000, [1, 2, 3, 4, 5, 6]], [1100, [1]]);
  const faultOf = (read: () => unknown): number => {
    try {
      read();
    } catch (error) {
      if (error instanceof MemoryFault) return error.addr;
    }
    return -1;
  };
  t.equal(
    faultOf(() => memory.u64(addr(1000))),
    1006,
  );
  t.equal(
    faultOf(() => memory.word(addr(1003))),
    1006,
  );
  t.equal(
    faultOf(() => memory.bytes(addr(1000), 10)),
    1006,
  );
  t.equal(
    faultOf(() => memory.bytes(addr(1000), 2 ** 50)),
    1006,
    'no buffer is allocated for an impossible length',
  );
  t.equal(
    faultOf(() => memory.u8(NIL)),
    0,
  );
  t.equal(
    faultOf(() => memory.u8(NIL, -1)),
    -1,
  );
  t.equal(
    faultOf(() => memory.u8(addr(999))),
    999,
  );
  t.equal(
    faultOf(() => memory.cstring(addr(1000))),
    1006,
  );
  t.equal(
    faultOf(() => memory.bytes(addr(1000), -1)),
    1000,
  );
  t.end();
});

t.test('memory: wordOr0 is 0 where any byte of the word is absent', (t) => {
  const memory = memoryOf([1000, [1, 2, 3, 4, 5, 6, 7, 8, 9]], [1010, [1, 2, 3, 4, 5, 6, 7, 8]]);
  const known = new Set([1000, 1001, 1010]);
  for (let at = 990; at < 1020; at++) {
    const expected = known.has(at) ? memory.word(addr(at)) : 0;
    t.equal(memory.wordOr0(addr(at)), expected, `at ${at}`);
  }
  t.equal(memory.wordOr0(NIL, -1), 0);
  t.equal(memory.wordOr0(NIL, 2 ** 60), 0);
  t.end();
});

t.test('memory: zero bytes are not absent bytes', (t) => {
  const memory = memoryOf([4096, [0, 0, 0, 0]]);
  t.equal(memory.u32(addr(4096)), 0);
  t.ok(memory.has(addr(4096), 4));
  t.notOk(memory.has(addr(4096), 5));
  t.notOk(memory.has(addr(4095), 1));
  t.throws(() => memory.u32(addr(8192)), MemoryFault);
  t.end();
});

t.test('memory: a word above 2^53 is a valid u64, but not a pointer', (t) => {
  const memory = memoryOf([16, [255, 255, 255, 255, 255, 255, 255, 255]], [32, [254, 255, 255, 255, 255, 255, 31, 0]]);
  t.equal(memory.u64(addr(16)), 2n ** 64n - 1n);
  t.throws(() => memory.ptr(addr(16)), MemoryFault);
  t.equal(memory.ptr(addr(32)), 2 ** 53 - 2);
  t.equal(memory.i32(addr(16)), -1);
  t.end();
});

t.test('memory: a string ends at its NUL, or reading it faults', (t) => {
  const memory = memoryOf([0x1000, [...Buffer.from('grün\0rest')]]);
  t.equal(memory.cstring(addr(0x1000)), 'grün');
  t.equal(memory.string(addr(0x1000), 5), 'grün');
  t.throws(() => memory.cstring(addr(0x1000), 3), MemoryFault);
  t.end();
});

t.test('memory: where segments overlap, the first one of the list wins', (t) => {
  for (let seed = 1; seed <= 200; seed++) {
    const next = random(seed);
    const segments: Segment[] = [];
    for (let i = next(12); i >= 0; i--) segments.push(someSegment(next, 100 + next(60), next(30)));
    agreesWith(t, new SegmentSource(segments), segments, `seed ${seed}`);
  }
  t.end();
});

t.test('memory: each byte comes from the first layer that has it', (t) => {
  for (let seed = 1; seed <= 200; seed++) {
    const next = random(seed);
    const layers: Segment[][] = [];
    for (let l = next(3); l >= 0; l--) {
      const layer: Segment[] = [];
      for (let i = next(6); i > 0; i--) layer.push(someSegment(next, 100 + next(60), next(30)));
      layers.push(layer);
    }
    const source = new LayeredSource(layers.map((layer) => new SegmentSource(layer)));
    agreesWith(t, source, layers.flat(), `seed ${seed}`);
  }
  t.end();
});

t.test('memory: a lower layer larger than a block can be read completely', (t) => {
  const next = random(7);
  const low = someSegment(next, 2 ** 20 - 100, 3 * 2 ** 20);
  const high = someSegment(next, 2 * 2 ** 20 - 3, 6);
  const memory = new Memory(new LayeredSource([new SegmentSource([high]), new SegmentSource([low])]));
  const expected = Uint8Array.from(low.bytes);
  expected.set(high.bytes, high.addr - low.addr);
  t.equal(Buffer.compare(memory.bytes(low.addr, low.bytes.length), expected), 0);
  t.end();
});

t.test('memory: a fault says why a byte is absent if the source knows', (t) => {
  const source: MemorySource = { window: () => null, ranges: () => [], absence: () => 'the cat ate it' };
  t.throws(() => new Memory(source).u8(addr(1)), /0x1 in the image: the cat ate it/);
  t.throws(() => new Memory(new LayeredSource([new SegmentSource([]), source])).u8(addr(1)), /the cat ate it/);
  t.end();
});

/** Compares windows and ranges of a source with segments, of which the first one with a byte is right. */
function agreesWith(t: Test, source: MemorySource, segments: readonly Segment[], name: string): void {
  const wrong: string[] = [];
  const known: boolean[] = [];
  for (let at = 90; at < 200; at++) {
    const owner = segments.find((s) => at >= s.addr && at < s.addr + s.bytes.length);
    const expected = owner === undefined ? null : owner.bytes[at - owner.addr];
    const window = source.window(at);
    if (window !== null && (window.lo > at || window.hi <= at || window.view.byteLength !== window.hi - window.lo)) {
      wrong.push(`window at ${at} is [${window.lo}, ${window.hi})`);
    }
    const got = window === null ? null : window.view.getUint8(at - window.lo);
    if (got !== expected) wrong.push(`byte ${at} is ${got} and not ${expected}`);
    known[at] = expected !== null;
  }
  for (const [lo, hi] of [
    [0, 1000],
    [110, 140],
    [150, 151],
  ] as const) {
    const listed: boolean[] = [];
    let last: number = lo;
    for (const range of source.ranges(lo, hi)) {
      if (range.lo < last || range.hi <= range.lo || range.hi > hi) wrong.push(`range [${range.lo}, ${range.hi})`);
      last = range.hi;
      for (let at: number = range.lo; at < range.hi; at++) listed[at] = true;
    }
    for (let at = Math.max(lo, 90); at < Math.min(hi, 200); at++) {
      if ((listed[at] ?? false) !== known[at]) wrong.push(`ranges in [${lo}, ${hi}) are wrong at ${at}`);
    }
  }
  t.same(wrong, [], name);
}

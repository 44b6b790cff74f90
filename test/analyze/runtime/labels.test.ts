import t from 'tap';
import { LabelReader } from '../../../analyze/runtime/labels.js';
import { releaseOf } from '../../../analyze/runtime/releases.js';
import { addr, type Addr } from '../../../snapshots/address.js';
import { Memory, MemoryFault, SegmentSource } from '../../../snapshots/memory.js';

const LABELS = addr(0x10000);
const MAP = addr(0x10100);
const BUCKETS = addr(0x11000);
const OLD_BUCKETS = addr(0x14000);
const OVERFLOW = addr(0x15000);
const STRINGS = 0x18000;

/** Memory to write into: a page of everything that a set of labels needs, zero at first. */
class Heap {
  readonly bytes = new Uint8Array(0x10000);
  readonly #view = new DataView(this.bytes.buffer);
  #nextString = STRINGS;

  word(at: number, value: number): void {
    this.#view.setBigUint64(at - LABELS, BigInt(value), true);
  }

  byte(at: number, value: number): void {
    this.#view.setUint8(at - LABELS, value);
  }

  /** A string header at `at`. */
  string(at: number, text: string): void {
    const bytes = Buffer.from(text);
    this.bytes.set(bytes, this.#nextString - LABELS);
    this.word(at, this.#nextString);
    this.word(at + 8, bytes.length);
    this.#nextString += bytes.length;
  }

  reader(minor: number): LabelReader {
    const memory = new Memory(new SegmentSource([{ addr: LABELS, bytes: this.bytes }]));
    return new LabelReader(memory, releaseOf({ minor }));
  }
}

/** runtime.bmap of map[string]string: eight tophash bytes, eight keys, eight values, the overflow bucket (map.go). */
const BUCKET_BYTES = 8 + 8 * 16 + 8 * 16 + 8;

function fill(heap: Heap, bucket: number, slot: number, key: string, value: string): void {
  heap.byte(bucket + slot, 5);
  heap.string(bucket + 8 + 16 * slot, key);
  heap.string(bucket + 8 + 8 * 16 + 16 * slot, value);
}

/** A pointer to a map of 2^log buckets (runtime.hmap: B at 9, buckets at 16, oldbuckets at 24). */
function mapWith(log: number, oldBuckets: Addr | 0 = 0): Heap {
  const heap = new Heap();
  heap.word(LABELS, MAP);
  heap.byte(MAP + 9, log);
  heap.word(MAP + 16, BUCKETS);
  heap.word(MAP + 24, oldBuckets);
  return heap;
}

t.test('labels: of a map, in all its buckets and those that overflow', (t) => {
  const heap = mapWith(1);
  fill(heap, BUCKETS, 0, 'b', '2');
  fill(heap, BUCKETS, 7, 'a', 'ä');
  fill(heap, BUCKETS + BUCKET_BYTES, 3, 'c', '');
  heap.word(BUCKETS + BUCKET_BYTES - 8, OVERFLOW);
  fill(heap, OVERFLOW, 2, 'd', '4');
  heap.byte(BUCKETS + 1, 1);
  t.same(Object.entries(heap.reader(23).read(LABELS)), [
    ['a', 'ä'],
    ['b', '2'],
    ['c', ''],
    ['d', '4'],
  ]);
  t.end();
});

t.test('labels: of a map that grows, in the old buckets too, without those that were moved', (t) => {
  const heap = mapWith(2, OLD_BUCKETS);
  fill(heap, BUCKETS + 3 * BUCKET_BYTES, 0, 'moved', 'new');
  fill(heap, OLD_BUCKETS, 0, 'moved', 'old');
  heap.byte(OLD_BUCKETS, 2);
  fill(heap, OLD_BUCKETS + BUCKET_BYTES, 1, 'waits', '1');
  t.same(heap.reader(12).read(LABELS), { moved: 'new', waits: '1' });
  t.end();
});

t.test('labels: of a map without buckets, and of no map', (t) => {
  const empty = mapWith(0);
  empty.word(MAP + 16, 0);
  t.same(empty.reader(20).read(LABELS), {});
  t.same(new Heap().reader(20).read(LABELS), {});
  t.same(new Heap().reader(20).read(0 as Addr), {});
  t.end();
});

t.test('labels: of a list, since Go 1.24', (t) => {
  const heap = new Heap();
  heap.word(LABELS, BUCKETS);
  heap.word(LABELS + 8, 2);
  heap.string(BUCKETS, 'user');
  heap.string(BUCKETS + 16, 'ann');
  heap.string(BUCKETS + 32, 'job');
  heap.string(BUCKETS + 48, '7');
  for (const minor of [24, 27]) t.same(heap.reader(minor).read(LABELS), { job: '7', user: 'ann' });
  t.end();
});

t.test('labels: what cannot be a set of labels is a fault, and ends', (t) => {
  const long = new Heap();
  long.word(LABELS, BUCKETS);
  long.word(LABELS + 8, 1025);
  t.throws(() => long.reader(24).read(LABELS), MemoryFault, 'a list that is too long');
  t.throws(() => mapWith(9).reader(23).read(LABELS), MemoryFault, 'a map with too many buckets');
  const circle = mapWith(0);
  circle.word(BUCKETS + BUCKET_BYTES - 8, BUCKETS);
  t.throws(() => circle.reader(23).read(LABELS), MemoryFault, 'a bucket that overflows into itself');
  t.throws(() => new Heap().reader(24).read(0x5000 as Addr), MemoryFault, 'memory that is absent');
  t.end();
});

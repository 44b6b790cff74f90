import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addr } from '../../../snapshots/address.js';
import { writeCore } from '../../../snapshots/elf/core-write.js';
import type { Mapping } from '../../../snapshots/image.js';
import { Memory, SegmentSource, type Segment } from '../../../snapshots/memory.js';
import { random, someFacts, someSegment, temporaryFolder } from '../../support/gsp.js';
import { hasReadelf, readelfSegments } from '../../support/readelf.js';

const PAGE = 4096;
const HEAP = 0xc000000000;
const folder = temporaryFolder(t);
const NEEDS_READELF = { skip: hasReadelf ? false : 'readelf is not installed' };
const next = random(1);

function heap(pages: number): Mapping {
  return {
    ...{ start: addr(HEAP), end: addr(HEAP + pages * PAGE), fileOffset: 0, path: '' },
    ...{ readable: true, writable: true, executable: false },
  };
}

/** Writes a core of a process whose heap has these bytes, and returns its segments of the heap as readelf shows them. */
async function written(t: Test, name: string, pages: number, known: readonly Segment[]): Promise<Loaded[]> {
  const path = join(folder, name);
  const memory = new Memory(new SegmentSource(known));
  await writeCore(path, { kind: 'snapshot', ...someFacts(), mappings: [heap(pages)], memory });
  const file = openSync(path, 'r');
  t.teardown(() => closeSync(file));
  const bytesOnDisk = known.filter(({ bytes }) => bytes.some((byte) => byte !== 0)).length * PAGE;
  t.ok(512 * statSync(path).blocks <= bytesOnDisk + 2 ** 20, 'zeros are holes');
  return readelfSegments(path)
    .filter(([type]) => type === 'LOAD')
    .map(([, offset, start, fileSize, memSize]) => ({
      ...{ start, fileEnd: start + fileSize, end: start + memSize },
      read: (at, length) => {
        const bytes = new Uint8Array(length);
        readSync(file, bytes, 0, length, offset + at - start);
        return bytes;
      },
    }));
}

interface Loaded {
  readonly start: number;
  readonly fileEnd: number;
  readonly end: number;
  readonly read: (at: number, length: number) => Uint8Array;
}

/** The segments cover the heap without a gap, and what is known is in the file. */
function checkAll(t: Test, segments: readonly Loaded[], pages: number, known: readonly Segment[]): void {
  t.equal(segments[0]?.start, HEAP);
  t.equal(segments.at(-1)?.end, HEAP + pages * PAGE);
  t.ok(segments.every(({ start }, i) => i === 0 || start === segments[i - 1]?.end));
  let wrong = 0;
  let i = 0;
  for (const { addr: at, bytes } of known) {
    while ((segments[i]?.end ?? Infinity) <= at) i++;
    const segment = segments[i];
    const isThere = segment !== undefined && at + bytes.length <= segment.fileEnd;
    if (!isThere || !Buffer.from(segment.read(at, bytes.length)).equals(bytes)) wrong++;
  }
  t.equal(wrong, 0, 'every known byte is where readelf says');
}

t.test('core-write: scattered pages get a segment each', NEEDS_READELF, async (t) => {
  const known = [3, 4, 9, 20].map((page) => someSegment(next, HEAP + page * PAGE + 100, 50));
  const segments = await written(t, 'few.core', 32, known);
  checkAll(t, segments, 32, known);
  t.same(
    segments.map(({ start, fileEnd }) => [(start - HEAP) / PAGE, (fileEnd - start) / PAGE]),
    [
      [0, 0],
      [3, 2],
      [9, 1],
      [20, 1],
    ],
  );
});

t.test(
  'core-write: so many that debuggers would choke on them are joined over the smallest gaps',
  NEEDS_READELF,
  async (t) => {
    // Two pages, each a page apart from the next; eight pages after them two more; then 66 pages of nothing. Most are zero.
    const FOURS = 10_000;
    const known = Array.from({ length: FOURS }, (_, i) =>
      [0, 2, 11, 13].map((page) => someSegment(next, HEAP + (80 * i + page) * PAGE + 8, 64, i % 16 === 0 ? 250 : 1)),
    ).flat();
    const segments = await written(t, 'many.core', 80 * FOURS, known);
    checkAll(t, segments, 80 * FOURS, known);
    t.equal(segments.length, FOURS);
    t.ok(segments.every(({ start, fileEnd }, i) => start === HEAP + 80 * i * PAGE && fileEnd - start === 14 * PAGE));
  },
);

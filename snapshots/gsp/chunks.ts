import { plus } from '../address.js';
import type { Segment } from '../memory.js';
import { firstWins } from '../overlaps.js';
import { RangeList, Runs } from '../runs.js';
import { Limit } from './format.js';
import { RangeWriter, readRanges } from './ranges.js';
import { ReadyChunk, type Chunk } from './ready-chunk.js';

/** Memory that is likely to be read together: segments, or what is a chunk already. */
export type MemoryGroup = readonly Segment[] | ReadyChunk;

/**
 * Packs groups of segments into chunks. Small segments share a chunk, in the order given; large ones are split. A chunk
 * never holds bytes of two groups, and an address that came before is not stored again. A chunk that is ready stays as it
 * is unless it has such addresses. `take` must return a buffer of {@link Limit.chunk} bytes for the chunk that comes next; a
 * chunk that one segment fills is a view of that segment.
 */
export function* chunksOf(groups: Iterable<MemoryGroup>, take: () => Uint8Array): Generator<Chunk | ReadyChunk> {
  const stored = new StoredRanges();
  for (const group of groups) {
    if (!(group instanceof ReadyChunk)) yield* chunksOfGroup(stored.addNew(group), take);
    else if (stored.addWhole(group)) yield group;
    else yield* chunksOfGroup(stored.addNew(group.segments()), take);
  }
}

function* chunksOfGroup(group: readonly Segment[], take: () => Uint8Array): Generator<Chunk> {
  let open: OpenChunk | null = null;
  for (const { addr, bytes } of group) {
    for (let done = 0; done < bytes.length;) {
      const rest = bytes.length - done;
      if (open === null && rest >= Limit.chunk) {
        yield wholeChunk(addr + done, bytes.subarray(done, done + Limit.chunk));
        done += Limit.chunk;
        continue;
      }
      open ??= new OpenChunk(take());
      done += open.add(addr + done, bytes.subarray(done));
      if (open.full) {
        yield open.finish();
        open = null;
      }
    }
  }
  if (open !== null) yield open.finish();
}

function wholeChunk(addr: number, bytes: Uint8Array): Chunk {
  const ranges = new RangeWriter();
  ranges.add(addr, addr + bytes.length);
  return { bytes, ranges: ranges.finish() };
}

/** A chunk that still has room. */
export class OpenChunk {
  readonly #buffer: Uint8Array;
  readonly #ranges = new RangeWriter();
  #used = 0;
  #lo = 0;
  #hi = 0;

  /** `buffer` has room for {@link Limit.chunk} bytes. */
  constructor(buffer: Uint8Array) {
    this.#buffer = buffer;
  }

  /** Bytes that it holds. */
  get used(): number {
    return this.#used;
  }

  get full(): boolean {
    return this.#used === this.#buffer.length;
  }

  /** Appends as many bytes as fit. Returns how many that are. */
  add(addr: number, bytes: Uint8Array): number {
    const n = Math.min(bytes.length, this.#buffer.length - this.#used);
    this.#buffer.set(n === bytes.length ? bytes : bytes.subarray(0, n), this.#used);
    this.#used += n;
    if (addr !== this.#hi) {
      this.#endRange();
      this.#lo = addr;
    }
    this.#hi = addr + n;
    return n;
  }

  finish(): Chunk {
    this.#endRange();
    return { bytes: this.#buffer.subarray(0, this.#used), ranges: this.#ranges.finish() };
  }

  #endRange(): void {
    if (this.#hi > this.#lo) this.#ranges.add(this.#lo, this.#hi);
  }
}

/** The addresses that are in chunks so far. */
class StoredRanges {
  #known = new Runs([], 0);
  /** Of ready chunks since, ascending: a million of them are not sorted anew with each. */
  #ready = new RangeList();
  #readyEnd = 0;

  /** Adds a group. Returns its segments without the addresses that an earlier group or segment has. */
  addNew(group: readonly Segment[]): readonly Segment[] {
    this.#mergeReady();
    const before = this.#known;
    const ranges = new RangeList();
    let sizeBytes = 0;
    for (const { addr, bytes } of group) {
      ranges.add(addr, addr + bytes.length);
      sizeBytes += bytes.length;
    }
    const distinct = new Runs(ranges, 0);
    ranges.addAll(before);
    this.#known = new Runs(ranges, 0);
    const once = distinct.sizeBytes === sizeBytes ? group : cutOverlaps(group);
    if (this.#known.sizeBytes === before.sizeBytes + distinct.sizeBytes) return once;
    const out: Segment[] = [];
    for (const segment of once) pushOutside(out, segment, before);
    return out;
  }

  /** Adds a chunk if its ranges ascend and have no address that occurred before. Returns whether it did. */
  addWhole({ ranges }: ReadyChunk): boolean {
    const list = new RangeList();
    readRanges(ranges, (lo, hi) => {
      list.add(lo, hi);
    });
    const [starts, ends] = [list.lo, list.hi];
    if ((starts[0] ?? 0) < this.#readyEnd) this.#mergeReady();
    let end = 0;
    for (let i = 0; i < starts.length; i++) {
      const [lo, hi] = [starts[i] ?? 0, ends[i] ?? 0];
      if (lo < end || this.#known.touches(lo, hi)) return false;
      end = hi;
    }
    this.#ready.addAll(list);
    this.#readyEnd = Math.max(this.#readyEnd, end);
    return true;
  }

  #mergeReady(): void {
    if (this.#readyEnd === 0) return;
    this.#ready.addAll(this.#known);
    this.#known = new Runs(this.#ready, 0);
    this.#ready = new RangeList();
    this.#readyEnd = 0;
  }
}

/** Appends to `out` the parts of a segment that are in none of the runs. */
function pushOutside(out: Segment[], segment: Segment, runs: Runs): void {
  let from: number = segment.addr;
  const end = segment.addr + segment.bytes.length;
  for (let i = runs.firstEndingAbove(from); i < runs.length; i++) {
    const { lo, hi } = runs.at(i);
    if (lo >= end) break;
    if (lo > from) out.push(part(segment, from, lo));
    from = hi;
  }
  if (from === segment.addr) out.push(segment);
  else if (from < end) out.push(part(segment, from, end));
}

/** Cuts segments so that none overlap: the first segment with a byte keeps it. */
function cutOverlaps(group: readonly Segment[]): Segment[] {
  const ranges = group.map(({ addr, bytes }) => ({ lo: addr, hi: addr + bytes.length }));
  return firstWins(ranges).flatMap(({ lo, hi, owner }) => {
    const segment = group[owner];
    return segment === undefined ? [] : [part(segment, lo, hi)];
  });
}

function part({ addr, bytes }: Segment, lo: number, hi: number): Segment {
  return { addr: plus(addr, lo - addr), bytes: bytes.subarray(lo - addr, hi - addr) };
}

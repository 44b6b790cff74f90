import { plus } from '../address.js';
import type { Segment } from '../memory.js';
import { firstWins } from '../overlaps.js';
import { Limit } from './format.js';
import { RangeWriter } from './ranges.js';

/** Memory that goes into one section. */
export interface Chunk {
  readonly bytes: Uint8Array;
  /** Which addresses the bytes belong to, in {@link RangeWriter}'s form. */
  readonly ranges: Uint8Array;
}

/**
 * Packs groups of segments into chunks: small segments together in the order given, large ones split. A chunk never
 * holds bytes of two groups, and an address that was given before is not stored again. `take` is asked for a buffer of
 * {@link Limit.chunk} bytes when one is needed; a chunk that one segment fills is a view of that segment.
 */
export function* chunksOf(groups: Iterable<readonly Segment[]>, take: () => Uint8Array): Generator<Chunk> {
  const given = new GivenRanges();
  for (const group of groups) yield* chunksOfGroup(given.withoutKnown(group), take);
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

class OpenChunk {
  readonly #buffer: Uint8Array;
  readonly #ranges = new RangeWriter();
  #used = 0;
  #lo = 0;
  #hi = 0;

  constructor(buffer: Uint8Array) {
    this.#buffer = buffer;
  }

  get full(): boolean {
    return this.#used === this.#buffer.length;
  }

  /** Takes as many of the bytes as there is room for, and says how many. */
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

/** Which addresses were given so far. */
class GivenRanges {
  /** Ascending, never overlapping; `hi` belongs to the `lo` at the same place. */
  #lo = new Float64Array(0);
  #hi = new Float64Array(0);

  /** The segments of a group, less what an earlier group or segment has given; and keeps note of them. */
  withoutKnown(group: readonly Segment[]): readonly Segment[] {
    const known = this.#lo.length;
    const lo = new Float64Array(known + group.length);
    const hi = new Float64Array(known + group.length);
    lo.set(this.#lo);
    hi.set(this.#hi);
    let at = known;
    for (const { addr, bytes } of group) {
      lo[at] = addr;
      hi[at++] = addr + bytes.length;
    }
    // Where no two ranges overlap, starts and ends sorted by themselves still belong together.
    this.#note(lo.slice().sort(), hi.slice().sort());
    if (this.#sizeInBytes() === sizeInBytes(lo, hi)) return group;
    const ranges = Array.from(lo, (start, i) => ({ lo: start, hi: hi[i] ?? start }));
    return firstWins(ranges).flatMap(({ lo: start, hi: end, owner }) => {
      const segment = group[owner - known];
      if (segment === undefined) return [];
      const { addr, bytes } = segment;
      return [{ addr: plus(addr, start - addr), bytes: bytes.subarray(start - addr, end - addr) }];
    });
  }

  /** Keeps what sorted starts and ends cover, ranges that touch or overlap as one. */
  #note(lo: Float64Array, hi: Float64Array): void {
    let last = -1;
    for (let i = 0; i < lo.length; i++) {
      const start = lo[i] ?? 0;
      if (last < 0 || start > (hi[last] ?? 0)) lo[++last] = start;
      hi[last] = hi[i] ?? start;
    }
    this.#lo = lo.slice(0, last + 1);
    this.#hi = hi.slice(0, last + 1);
  }

  #sizeInBytes(): number {
    return sizeInBytes(this.#lo, this.#hi);
  }
}

function sizeInBytes(lo: Float64Array, hi: Float64Array): number {
  let size = 0;
  for (let i = 0; i < lo.length; i++) size += (hi[i] ?? 0) - (lo[i] ?? 0);
  return size;
}

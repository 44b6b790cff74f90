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
  /** Ascending, never touching; `hi` belongs to the `lo` at the same place. */
  #known = covered(new Float64Array(0), new Float64Array(0));

  /** The segments of a group, less what an earlier group or segment has given; and keeps note of them. */
  withoutKnown(group: readonly Segment[]): readonly Segment[] {
    const before = this.#known;
    const own = rangesOf(group);
    const distinct = covered(own.lo, own.hi);
    this.#known = covered(joined(before.lo, distinct.lo), joined(before.hi, distinct.hi));
    const once = sizeInBytes(distinct) === sizeInBytes(own) ? group : firstOnly(group);
    if (sizeInBytes(this.#known) === sizeInBytes(before) + sizeInBytes(distinct)) return once;
    const out: Segment[] = [];
    for (const segment of once) {
      let from = segment.addr as number;
      const end = segment.addr + segment.bytes.length;
      for (let i = firstEndingAbove(before.hi, from); i < before.lo.length && (before.lo[i] ?? 0) < end; i++) {
        if ((before.lo[i] ?? 0) > from) out.push(part(segment, from, before.lo[i] ?? 0));
        from = before.hi[i] ?? 0;
      }
      if (from === segment.addr) out.push(segment);
      else if (from < end) out.push(part(segment, from, end));
    }
    return out;
  }
}

interface Ranges {
  readonly lo: Float64Array;
  readonly hi: Float64Array;
}

function rangesOf(group: readonly Segment[]): Ranges {
  const lo = new Float64Array(group.length);
  const hi = new Float64Array(group.length);
  let at = 0;
  for (const { addr, bytes } of group) {
    lo[at] = addr;
    hi[at++] = addr + bytes.length;
  }
  return { lo, hi };
}

/** What ranges cover, ascending; those that touch or overlap are one. */
function covered(starts: Float64Array, ends: Float64Array): Ranges {
  // Sorted by themselves, starts and ends still say where something begins and where all has ended.
  const [lo, hi] = [starts.slice().sort(), ends.slice().sort()];
  let count = 0;
  for (let i = 0; i < lo.length; i++) {
    if (i === 0 || (lo[i] ?? 0) > (hi[i - 1] ?? 0)) lo[count++] = lo[i] ?? 0;
    hi[count - 1] = hi[i] ?? 0;
  }
  return { lo: lo.slice(0, count), hi: hi.slice(0, count) };
}

function joined(a: Float64Array, b: Float64Array): Float64Array {
  const out = new Float64Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** The index of the first of ascending ends that lies above an address. */
function firstEndingAbove(ends: Float64Array, addr: number): number {
  let [from, to] = [0, ends.length];
  while (from < to) {
    const mid = (from + to) >>> 1;
    if ((ends[mid] ?? 0) <= addr) from = mid + 1;
    else to = mid;
  }
  return from;
}

/** Segments that overlap, cut: the first one that has a byte keeps it. */
function firstOnly(group: readonly Segment[]): Segment[] {
  const ranges = group.map(({ addr, bytes }) => ({ lo: addr, hi: addr + bytes.length }));
  return firstWins(ranges).flatMap(({ lo, hi, owner }) => {
    const segment = group[owner];
    return segment === undefined ? [] : [part(segment, lo, hi)];
  });
}

function part({ addr, bytes }: Segment, lo: number, hi: number): Segment {
  return { addr: plus(addr, lo - addr), bytes: bytes.subarray(lo - addr, hi - addr) };
}

function sizeInBytes({ lo, hi }: Ranges): number {
  let size = 0;
  for (let i = 0; i < lo.length; i++) size += (hi[i] ?? 0) - (lo[i] ?? 0);
  return size;
}

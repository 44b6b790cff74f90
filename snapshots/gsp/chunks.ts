import { plus } from '../address.js';
import type { Segment } from '../memory.js';
import { firstWins } from '../overlaps.js';
import { RangeList, Runs } from '../runs.js';
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
  #known = new Runs([], 0);

  /** The segments of a group, less what an earlier group or segment has given; and keeps note of them. */
  withoutKnown(group: readonly Segment[]): readonly Segment[] {
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
    const once = distinct.sizeBytes === sizeBytes ? group : firstOnly(group);
    if (this.#known.sizeBytes === before.sizeBytes + distinct.sizeBytes) return once;
    const out: Segment[] = [];
    for (const segment of once) addOutside(out, segment, before);
    return out;
  }
}

/** Adds what of a segment lies in none of the runs. */
function addOutside(out: Segment[], segment: Segment, runs: Runs): void {
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

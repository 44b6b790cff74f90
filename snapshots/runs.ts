import type { Addr } from './address.js';
import { ascending } from './ascending-order.js';
import type { Range } from './memory.js';
import { SearchTable } from './search-table.js';

/** A range that was asked for, and the index of the run that it is in. */
export interface Part extends Range {
  readonly run: number;
}

/**
 * Ranges merged into ascending runs whose bytes lie next to each other in one buffer, as they are read from a process in
 * one go. Ranges no further apart than `maxGap` bytes become one run: reading a few bytes too many is cheaper than
 * reading another run. What lies between the ranges of a run, its parts, was not asked for, and counts as absent. A run of
 * `fullAt` bytes or more ends with its last range: runs that are read one by one should be small. No range is cut.
 */
export class Runs implements Iterable<Range> {
  readonly length: number;
  readonly sizeBytes: number;
  readonly #runs: Ends;
  readonly #offset: Float64Array;
  readonly #ends: SearchTable;
  readonly #parts: Ends;
  readonly #partEnds: SearchTable;
  /** By part, the index of its run. */
  readonly #runOf: Uint32Array;

  constructor(ranges: Iterable<Range>, maxGap: number, fullAt = Infinity) {
    const all = ranges instanceof RangeList ? ranges : new RangeList(ranges);
    // Starts and ends can be sorted independently; the merged runs come out the same.
    const sorted = { lo: ascending(all.lo), hi: ascending(all.hi) };
    this.#parts = merge(sorted, sorted, 0, fullAt);
    this.#runs = maxGap > 0 ? merge(this.#parts, roomFor(this.#parts.lo.length), maxGap, fullAt) : this.#parts;
    const { lo, hi } = this.#runs;
    this.length = lo.length;
    this.#offset = new Float64Array(lo.length);
    this.#runOf = new Uint32Array(this.#parts.lo.length);
    let size = 0;
    for (let run = 0, part = 0; run < lo.length; run++) {
      this.#offset[run] = size;
      size += (hi[run] ?? 0) - (lo[run] ?? 0);
      while ((this.#parts.lo[part] ?? Infinity) < (hi[run] ?? 0)) this.#runOf[part++] = run;
    }
    this.sizeBytes = size;
    this.#partEnds = new SearchTable(this.#parts.hi);
    this.#ends = this.#runs === this.#parts ? this.#partEnds : new SearchTable(hi);
  }

  /** Returns the run at an index, with the offset of its bytes in the buffer. Throws RangeError if there is none. */
  at(index: number): Range & { readonly offset: number } {
    const [lo, hi, offset] = [this.#runs.lo[index], this.#runs.hi[index], this.#offset[index]];
    if (lo === undefined || hi === undefined || offset === undefined) throw new RangeError(`no run ${index}`);
    return { lo: lo as Addr, hi: hi as Addr, offset };
  }

  /** As {@link at}, without an object: where the run at an index starts and ends, how long it is, and the offset of its bytes. */
  startOf(index: number): number {
    return this.#runs.lo[index] ?? 0;
  }

  endOf(index: number): number {
    return this.#runs.hi[index] ?? 0;
  }

  lengthOf(index: number): number {
    return (this.#runs.hi[index] ?? 0) - (this.#runs.lo[index] ?? 0);
  }

  placeOf(index: number): number {
    return this.#offset[index] ?? 0;
  }

  *[Symbol.iterator](): Iterator<Range> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }

  /**
   * The ranges that were asked for, as far as they are in [lo, hi): ascending, and merged where they touch.
   */
  *parts(lo = 0, hi = Infinity): Iterable<Part> {
    const parts = this.#parts;
    for (let i = this.#partEnds.firstAbove(lo); i < parts.lo.length; i++) {
      const [from, to] = [Math.max(lo, parts.lo[i] ?? 0), Math.min(hi, parts.hi[i] ?? 0)];
      if (from >= hi) return;
      yield { lo: from as Addr, hi: to as Addr, run: this.#runOf[i] ?? 0 };
    }
  }

  /** The parts of these ranges that were asked for, as {@link parts} gives them. */
  *partsOf(ranges: Iterable<Range>): Iterable<Part> {
    for (const { lo, hi } of ranges) yield* this.parts(lo, hi);
  }

  /** The part that holds an address, with the offset of its bytes in the buffer; null if there is none. */
  partOf(addr: number): (Part & { readonly offset: number }) | null {
    const part = this.#partAt(addr);
    if (part < 0) return null;
    const [lo, hi, run] = [this.#parts.lo[part] ?? 0, this.#parts.hi[part] ?? 0, this.#runOf[part] ?? 0];
    return { lo: lo as Addr, hi: hi as Addr, run, offset: this.placeOf(run) + lo - this.startOf(run) };
  }

  /** Returns the offset of the byte at `addr` in the buffer, or -1 unless one part holds all of [addr, addr + length). */
  offsetOf(addr: number, length: number): number {
    const part = this.#partAt(addr);
    if (part < 0 || addr + length > (this.#parts.hi[part] ?? 0)) return -1;
    const run = this.#runOf[part] ?? 0;
    return (this.#offset[run] ?? 0) + addr - (this.#runs.lo[run] ?? 0);
  }

  /** Returns the index of the run that a part with an address is in, or -1. */
  indexOf(addr: number): number {
    const part = this.#partAt(addr);
    return part < 0 ? -1 : (this.#runOf[part] ?? 0);
  }

  /** True if a byte of [lo, hi) is in a part. */
  touches(lo: number, hi: number): boolean {
    return (this.#parts.lo[this.#partEnds.firstAbove(lo)] ?? Infinity) < hi;
  }

  /** Returns the index of the first run that ends above an address, or {@link length} if none does. */
  firstEndingAbove(addr: number): number {
    return this.#ends.firstAbove(addr);
  }

  #partAt(addr: number): number {
    const part = this.#partEnds.firstAbove(addr);
    return (this.#parts.lo[part] ?? Infinity) <= addr ? part : -1;
  }
}

/** Where ranges start and end, in the order of their addresses. */
interface Ends {
  readonly lo: Float64Array;
  readonly hi: Float64Array;
}

function roomFor(length: number): Ends {
  return { lo: new Float64Array(length), hi: new Float64Array(length) };
}

/**
 * Merges ranges that are no further apart than `maxGap` bytes, as long as they have less than `fullAt` together, or overlap.
 * Writes the result to `out`, which has room for as many, and may be the ranges themselves: it is never ahead of what is read.
 */
function merge({ lo, hi }: Ends, out: Ends, maxGap: number, fullAt: number): Ends {
  const { lo: starts, hi: ends } = out;
  let count = 0;
  for (let i = 0; i < lo.length; i++) {
    const [start, end] = [lo[i] ?? 0, hi[i - 1] ?? 0];
    const isFull = start >= end && end - (starts[count - 1] ?? 0) >= fullAt;
    if (i === 0 || start - end > maxGap || isFull) starts[count++] = start;
    ends[count - 1] = hi[i] ?? 0;
  }
  return count === lo.length ? out : { lo: starts.slice(0, count), hi: ends.slice(0, count) };
}

/** A growing list of ranges in typed arrays: 16 bytes a range. Empty ranges are dropped. */
export class RangeList implements Iterable<Range> {
  #words = new Float64Array(64);
  #length = 0;

  constructor(ranges: Iterable<Range> = []) {
    this.addAll(ranges);
  }

  add(lo: number, hi: number): void {
    if (lo >= hi) return;
    const at = 2 * this.#length++;
    if (at === this.#words.length) this.#growTo(at + 2);
    this.#words[at] = lo;
    this.#words[at + 1] = hi;
  }

  addAll(ranges: Iterable<Range>): void {
    if (ranges instanceof RangeList) this.#addWords(ranges.#words.subarray(0, 2 * ranges.#length));
    else if (ranges instanceof Runs)
      for (let i = 0; i < ranges.length; i++) this.add(ranges.startOf(i), ranges.endOf(i));
    else for (const { lo, hi } of ranges) this.add(lo, hi);
  }

  get length(): number {
    return this.#length;
  }

  /** Removes all ranges, and keeps the room for as many. */
  clear(): void {
    this.#length = 0;
  }

  /** A copy of all starts, in the order in which they were added. */
  get lo(): Float64Array {
    return this.#every(0);
  }

  /** A copy of all ends, in the order in which they were added. */
  get hi(): Float64Array {
    return this.#every(1);
  }

  *[Symbol.iterator](): Iterator<Range> {
    for (let i = 0; i < this.#length; i++) {
      yield { lo: this.#words[2 * i] as Addr, hi: this.#words[2 * i + 1] as Addr };
    }
  }

  #addWords(words: Float64Array): void {
    const at = 2 * this.#length;
    if (at + words.length > this.#words.length) this.#growTo(at + words.length);
    this.#words.set(words, at);
    this.#length += words.length / 2;
  }

  /** Makes room for so many words and, since more will come, for as many again. */
  #growTo(length: number): void {
    const grown = new Float64Array(2 * length);
    grown.set(this.#words);
    this.#words = grown;
  }

  #every(end: 0 | 1): Float64Array {
    const out = new Float64Array(this.#length);
    for (let i = 0; i < out.length; i++) out[i] = this.#words[2 * i + end] ?? 0;
    return out;
  }
}

import type { Addr } from './address.js';
import { ascending } from './ascending-order.js';
import type { Range } from './memory.js';
import { SearchTable } from './search-table.js';

/**
 * Ranges merged into ascending runs whose bytes lie next to each other in one buffer, as they are read from a process in
 * one go. Ranges no further apart than `maxGap` bytes become one run: reading a few bytes too many is cheaper than
 * reading another run.
 */
export class Runs implements Iterable<Range> {
  readonly length: number;
  readonly sizeBytes: number;
  readonly #lo: Float64Array;
  readonly #hi: Float64Array;
  readonly #offset: Float64Array;
  readonly #ends: SearchTable;

  constructor(ranges: Iterable<Range>, maxGap: number) {
    const all = ranges instanceof RangeList ? ranges : new RangeList(ranges);
    // Starts and ends can be sorted independently; the merged runs come out the same.
    const [starts, ends] = [ascending(all.lo), ascending(all.hi)];
    let count = 0;
    for (let i = 0; i < starts.length; i++) {
      if (i === 0 || (starts[i] ?? 0) - (ends[i - 1] ?? 0) > maxGap) starts[count++] = starts[i] ?? 0;
      ends[count - 1] = ends[i] ?? 0;
    }
    this.length = count;
    this.#lo = starts.slice(0, count);
    this.#hi = ends.slice(0, count);
    this.#offset = new Float64Array(count);
    let size = 0;
    for (let i = 0; i < count; i++) {
      this.#offset[i] = size;
      size += (ends[i] ?? 0) - (starts[i] ?? 0);
    }
    this.sizeBytes = size;
    this.#ends = new SearchTable(this.#hi);
  }

  /** Returns the run at an index, with the offset of its bytes in the buffer. Throws RangeError if there is none. */
  at(index: number): Range & { readonly offset: number } {
    const [lo, hi, offset] = [this.#lo[index], this.#hi[index], this.#offset[index]];
    if (lo === undefined || hi === undefined || offset === undefined) throw new RangeError(`no run ${index}`);
    return { lo: lo as Addr, hi: hi as Addr, offset };
  }

  /** As {@link at}, without an object: where the run at an index starts, how long it is, and the offset of its bytes. */
  startOf(index: number): number {
    return this.#lo[index] ?? 0;
  }

  lengthOf(index: number): number {
    return (this.#hi[index] ?? 0) - (this.#lo[index] ?? 0);
  }

  placeOf(index: number): number {
    return this.#offset[index] ?? 0;
  }

  *[Symbol.iterator](): Iterator<Range> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }

  /** Returns the offset of the byte at `addr` in the buffer, or -1 unless one run holds all of [addr, addr + length). */
  offsetOf(addr: number, length: number): number {
    const run = this.indexOf(addr);
    if (run < 0 || addr + length > (this.#hi[run] ?? 0)) return -1;
    return (this.#offset[run] ?? 0) + addr - (this.#lo[run] ?? 0);
  }

  /** Returns the index of the run that holds an address, or -1. */
  indexOf(addr: number): number {
    const i = this.firstEndingAbove(addr);
    return (this.#lo[i] ?? Infinity) <= addr ? i : -1;
  }

  /** True if a byte of [lo, hi) is in a run. */
  touches(lo: number, hi: number): boolean {
    return (this.#lo[this.firstEndingAbove(lo)] ?? Infinity) < hi;
  }

  /** Returns the index of the first run that ends above an address, or {@link length} if none does. */
  firstEndingAbove(addr: number): number {
    return this.#ends.firstAbove(addr);
  }
}

/** A growing list of ranges in typed arrays: 16 bytes a range. Empty ranges are dropped. */
export class RangeList implements Iterable<Range> {
  #words = new Float64Array(64);
  #length = 0;

  constructor(ranges: Iterable<Range> = []) {
    for (const { lo, hi } of ranges) this.add(lo, hi);
  }

  add(lo: number, hi: number): void {
    if (lo >= hi) return;
    const at = 2 * this.#length++;
    if (at === this.#words.length) {
      const grown = new Float64Array(2 * at);
      grown.set(this.#words);
      this.#words = grown;
    }
    this.#words[at] = lo;
    this.#words[at + 1] = hi;
  }

  addAll(ranges: Iterable<Range>): void {
    for (const { lo, hi } of ranges) this.add(lo, hi);
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

  #every(end: 0 | 1): Float64Array {
    const out = new Float64Array(this.#length);
    for (let i = 0; i < out.length; i++) out[i] = this.#words[2 * i + end] ?? 0;
    return out;
  }
}

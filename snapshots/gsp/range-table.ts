import { firstAbove } from '../binary-search.js';
import { BytesError } from '../bytes.js';
import { readRanges } from './ranges.js';
import type { SectionEntry } from './format.js';

/** The ranges of all memory sections, ascending, in columns. A million ranges take 24 MB. */
export class RangeTable {
  readonly count: number;
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  /** Index of the section in the list that the table was made from. */
  readonly section: Uint32Array;
  /** Offset of the range's bytes in the section's content. */
  readonly offset: Uint32Array;
  /** The range that was found last: reads go from one to the next. */
  #near = 0;

  /** Throws BytesError if ranges overlap, or those of a section do not add up to its length. */
  constructor(sections: readonly RangedSection[]) {
    this.count = sections.reduce((sum, { ranges }) => sum + countRanges(ranges), 0);
    const starts = startsOf(sections, this.count);
    this.lo = starts.slice().sort();
    this.hi = new Float64Array(this.count);
    this.section = new Uint32Array(this.count);
    this.offset = new Uint32Array(this.count);
    this.#fill(sections);
    for (let i = 1; i < this.count; i++) {
      if ((this.lo[i] ?? 0) < (this.hi[i - 1] ?? 0)) throw new BytesError('ranges of memory overlap');
    }
  }

  /** Returns the index of the range that contains `addr`, or -1. */
  find(addr: number): number {
    for (let i = this.#near; i <= this.#near + 1; i++) {
      if (addr >= (this.lo[i] ?? Infinity) && addr < (this.hi[i] ?? 0)) return (this.#near = i);
    }
    const i = this.lastAtOrBelow(addr);
    return i >= 0 && addr < (this.hi[i] ?? 0) ? (this.#near = i) : -1;
  }

  /** Returns the index of the last range that starts at or below `addr`, or -1. */
  lastAtOrBelow(addr: number): number {
    return firstAbove(this.lo, addr) - 1;
  }

  #fill(sections: readonly RangedSection[]): void {
    let index = -1;
    for (const [section, { ranges, rawBytes }] of sections.entries()) {
      let offset = 0;
      readRanges(ranges ?? NONE, (lo, hi) => {
        // Ranges that are neighbours in the file are usually neighbours in memory.
        index = this.lo[index + 1] === lo ? index + 1 : this.lastAtOrBelow(lo);
        if (this.hi[index] !== 0) throw new BytesError('a range of memory occurs twice');
        this.hi[index] = hi;
        this.section[index] = section;
        this.offset[index] = offset;
        offset += hi - lo;
      });
      if (offset !== rawBytes) throw new BytesError(`ranges of ${offset} bytes stand for ${rawBytes} bytes of memory`);
    }
  }
}

/** The part of a memory section's index entry that the table needs. */
type RangedSection = Pick<SectionEntry, 'rawBytes' | 'ranges'>;

const NONE = new Uint8Array(0);

/** Counts the ranges of a section. A range is two LEB128 numbers, and only the last byte of a number is below 128. */
function countRanges(ranges: Uint8Array | null): number {
  let ends = 0;
  for (const b of ranges ?? NONE) if (b < 128) ends++;
  return Math.ceil(ends / 2);
}

function startsOf(sections: readonly RangedSection[], count: number): Float64Array {
  const starts = new Float64Array(count);
  let i = 0;
  for (const { ranges } of sections) {
    readRanges(ranges ?? NONE, (lo) => {
      starts[i++] = lo;
    });
  }
  return starts;
}

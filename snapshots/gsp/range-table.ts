import { BytesError } from '../bytes.js';
import { readRanges } from './ranges.js';

/** A memory section, as far as the table needs it. */
export interface RangedSection {
  /** Bytes of memory in the section. */
  readonly rawBytes: number;
  /** In the form of gsp/ranges.ts. */
  readonly ranges: Uint8Array | null;
}

/** The ranges of all memory sections in ascending order, in columns: a million of them take 24 MB. */
export class RangeTable {
  readonly count: number;
  readonly lo: Float64Array;
  readonly hi: Float64Array;
  /** Place of its section in the list that the table was made from. */
  readonly section: Uint32Array;
  /** Where its bytes start among the section's. */
  readonly offset: Uint32Array;

  /** Throws BytesError where ranges overlap, or a section's do not add up to its bytes. */
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

  /** Place of the range that holds `addr`, or -1. */
  find(addr: number): number {
    const i = this.lastAtOrBelow(addr);
    return i >= 0 && addr < (this.hi[i] ?? 0) ? i : -1;
  }

  /** Place of the last range that starts at or below `addr`, or -1. */
  lastAtOrBelow(addr: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((this.lo[mid] ?? Infinity) <= addr) low = mid + 1;
      else high = mid;
    }
    return low - 1;
  }

  #fill(sections: readonly RangedSection[]): void {
    let place = -1;
    for (const [section, { ranges, rawBytes }] of sections.entries()) {
      let offset = 0;
      readRanges(ranges ?? NONE, (lo, hi) => {
        // Neighbours in the file are neighbours in memory, mostly.
        place = this.lo[place + 1] === lo ? place + 1 : this.lastAtOrBelow(lo);
        if (this.hi[place] !== 0) throw new BytesError('a range of memory comes twice');
        this.hi[place] = hi;
        this.section[place] = section;
        this.offset[place] = offset;
        offset += hi - lo;
      });
      if (offset !== rawBytes) throw new BytesError(`ranges of ${offset} bytes stand for ${rawBytes} bytes of memory`);
    }
  }
}

const NONE = new Uint8Array(0);

/** Each number ends with the one byte in it that is below 128, and a range is two numbers. */
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

import type { Addr } from './address.js';
import type { Range } from './memory.js';

/**
 * Ranges merged into runs that lie one behind the other in a single buffer: what is read from a process in one go.
 * Neighbours no further apart than `maxGap` bytes become one run, since a run costs more than a few bytes too many.
 */
export class Runs {
  readonly length: number;
  readonly sizeBytes: number;
  readonly #lo: Float64Array;
  readonly #hi: Float64Array;
  readonly #offset: Float64Array;

  constructor(ranges: Iterable<Range>, maxGap: number) {
    const sorted = [...ranges].filter(({ lo, hi }) => lo < hi).sort((a, b) => a.lo - b.lo);
    const runs: { lo: number; hi: number }[] = [];
    for (const { lo, hi } of sorted) {
      const last = runs.at(-1);
      if (last !== undefined && lo - last.hi <= maxGap) last.hi = Math.max(last.hi, hi);
      else runs.push({ lo, hi });
    }
    this.length = runs.length;
    this.#lo = Float64Array.from(runs, (r) => r.lo);
    this.#hi = Float64Array.from(runs, (r) => r.hi);
    this.#offset = new Float64Array(runs.length);
    let size = 0;
    for (const [i, { lo, hi }] of runs.entries()) {
      this.#offset[i] = size;
      size += hi - lo;
    }
    this.sizeBytes = size;
  }

  /** The run at an index: its range, and where its bytes begin in the buffer. */
  at(index: number): Range & { readonly offset: number } {
    const [lo, hi, offset] = [this.#lo[index], this.#hi[index], this.#offset[index]];
    if (lo === undefined || hi === undefined || offset === undefined) throw new RangeError(`no run ${index}`);
    return { lo: lo as Addr, hi: hi as Addr, offset };
  }

  /** Where the byte at an address lies in the buffer if all of [addr, addr + length) does; else -1. */
  offsetOf(addr: number, length: number): number {
    const run = this.indexOf(addr);
    if (run < 0 || addr + length > (this.#hi[run] ?? 0)) return -1;
    return (this.#offset[run] ?? 0) + addr - (this.#lo[run] ?? 0);
  }

  /** The run that holds an address, or -1. */
  indexOf(addr: number): number {
    let lo = 0;
    let hi = this.length;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if ((this.#lo[mid] ?? Infinity) <= addr) lo = mid + 1;
      else hi = mid;
    }
    return addr < (this.#hi[lo - 1] ?? 0) ? lo - 1 : -1;
  }
}

import type { Addr } from '../../snapshots/address.js';
import type { MemorySource, Range, Segment, Window } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
import type { SparseReader } from '../process/sparse-reader.js';

/** Those of many runs that were read, as memory. What is read later shows here. */
export class SparseSource implements MemorySource {
  /** Indices of the runs that could not be read: they are absent, not zero. */
  failed: readonly number[] = [];
  /** What {@link offsetOf} found last is in here. */
  view: DataView = new DataView(new ArrayBuffer(0));
  readonly #runs: Runs;
  readonly #reader: SparseReader;

  constructor(runs: Runs, reader: SparseReader) {
    this.#runs = runs;
    this.#reader = reader;
  }

  /** True if all of [lo, hi) is in one run that was read. */
  has(lo: number, hi: number): boolean {
    return this.offsetOf(lo, hi - lo) >= 0;
  }

  /** The offset of `length` bytes at an address in {@link view}; -1 unless one run that was read has all of them. */
  offsetOf(addr: number, length: number): number {
    if (this.#runs.offsetOf(addr, length) < 0) return -1;
    const run = this.#runs.indexOf(addr);
    const place = this.#reader.placeOf(run);
    if (place === null || (this.failed.length > 0 && this.failed.includes(run))) return -1;
    this.view = place.view;
    return place.offset + addr - this.#runs.startOf(run);
  }

  window(addr: number): Window | null {
    const run = this.#runs.indexOf(addr);
    const bytes = run < 0 ? null : this.#bytesOf(run);
    if (bytes === null) return null;
    const { lo, hi } = this.#runs.at(run);
    return { lo, hi, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (let i = this.#runs.firstEndingAbove(lo); i < this.#runs.length; i++) {
      const run = this.#runs.at(i);
      if (run.lo >= hi) return;
      if (this.#bytesOf(i) === null) continue;
      yield { lo: Math.max(lo, run.lo) as Addr, hi: Math.min(hi, run.hi) as Addr };
    }
  }

  /** The runs that were read, ascending, not copied. */
  segments(): Segment[] {
    const out: Segment[] = [];
    for (let i = 0; i < this.#runs.length; i++) {
      const bytes = this.#bytesOf(i);
      if (bytes !== null) out.push({ addr: this.#runs.at(i).lo, bytes });
    }
    return out;
  }

  #bytesOf(run: number): Uint8Array | null {
    const place = this.#reader.placeOf(run);
    if (place === null || this.failed.includes(run)) return null;
    return new Uint8Array(place.view.buffer, place.view.byteOffset + place.offset, this.#runs.lengthOf(run));
  }
}

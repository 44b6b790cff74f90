import { ADDR_LIMIT, NIL, type Addr } from '../../snapshots/address.js';
import type { MemorySource, Range, Segment, Window } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';

/** Runs in one buffer, as memory. */
export class RunSource implements MemorySource {
  /** Indices of the runs that could not be read: they are absent, not zero. */
  failed: readonly number[];
  readonly #runs: Runs;
  readonly #bytes: Uint8Array;
  /** The buffer. */
  readonly view: DataView;

  /** `bytes` holds the runs one after another. It is not copied: what is read into it later shows here. */
  constructor(runs: Runs, bytes: Uint8Array, failed: readonly number[] = []) {
    this.failed = failed;
    this.#runs = runs;
    this.#bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get sizeBytes(): number {
    return this.#bytes.byteLength;
  }

  /** True if all of [lo, hi) is in one run that was read. */
  has(lo: number, hi: number): boolean {
    return this.offsetOf(lo, hi - lo) >= 0;
  }

  /** The offset of `length` bytes at an address in the buffer; -1 unless one run that was read has all of them. */
  offsetOf(addr: number, length: number): number {
    const offset = this.#runs.offsetOf(addr, length);
    return offset < 0 || this.failed.length === 0 || !this.failed.includes(this.#runs.indexOf(addr)) ? offset : -1;
  }

  /** The bytes of [lo, hi), not copied; null unless all of it is in one run that was read. */
  bytes(lo: number, hi: number): Uint8Array | null {
    const offset = this.offsetOf(lo, hi - lo);
    return offset < 0 ? null : this.#bytes.subarray(offset, offset + hi - lo);
  }

  window(addr: number): Window | null {
    const part = this.#runs.partOf(addr);
    if (part === null || this.failed.includes(part.run)) return null;
    const { lo, hi, offset } = part;
    return { lo, hi, view: new DataView(this.view.buffer, this.view.byteOffset + offset, hi - lo) };
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (const part of this.#runs.parts(lo, hi)) if (!this.failed.includes(part.run)) yield part;
  }

  /** What was read of some ranges, of all unless given, not copied. */
  segments(ranges: Iterable<Range> = [{ lo: NIL, hi: ADDR_LIMIT as Addr }]): Segment[] {
    const out: Segment[] = [];
    for (const range of ranges) {
      for (const { lo, hi } of this.ranges(range.lo, range.hi)) {
        const bytes = this.bytes(lo, hi);
        if (bytes !== null) out.push({ addr: lo, bytes });
      }
    }
    return out;
  }
}

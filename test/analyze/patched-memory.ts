import type { MemorySource, Window } from '../../snapshots/memory.js';

const PAGE = 4096;
/** Pages that are asked for, after which reading counts as endless. */
const MAX_WINDOWS = 2_000_000;

/** Memory with other bytes at some addresses. It remembers which parts of it were read. */
export class Patched implements MemorySource {
  /** Addresses of parts of `partBytes` that were read, if that is not a whole page. */
  readonly read = new Set<number>();
  readonly #source: MemorySource;
  readonly #partBytes: number;
  readonly #patches = new Map<number, (readonly [addr: number, byte: number])[]>();
  #windows = 0;

  constructor(source: MemorySource, bytes: Iterable<readonly [addr: number, byte: number]>, partBytes = PAGE) {
    this.#source = source;
    this.#partBytes = partBytes;
    for (const patch of bytes) {
      const page = patch[0] - (patch[0] % PAGE);
      this.#patches.set(page, [...(this.#patches.get(page) ?? []), patch]);
    }
  }

  window(addr: number): Window | null {
    if (++this.#windows > MAX_WINDOWS) throw new Error(`more than ${MAX_WINDOWS} pages were asked for`);
    const whole = this.#source.window(addr);
    if (whole === null) return null;
    const part = addr - (addr % this.#partBytes);
    if (this.#partBytes < PAGE) this.read.add(part);
    const [lo, hi] = [Math.max(whole.lo, part), Math.min(whole.hi, part + this.#partBytes)];
    const patches = this.#patches.get(addr - (addr % PAGE));
    const bytes = new Uint8Array(whole.view.buffer, whole.view.byteOffset + (lo - whole.lo), hi - lo);
    if (patches === undefined) return { lo, hi, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
    const copy = bytes.slice();
    for (const [at, byte] of patches) if (at >= lo && at < hi) copy[at - lo] = byte;
    return { lo, hi, view: new DataView(copy.buffer) };
  }

  ranges(lo: number, hi: number): ReturnType<MemorySource['ranges']> {
    return this.#source.ranges(lo, hi);
  }
}

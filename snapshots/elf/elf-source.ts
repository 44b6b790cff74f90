import type { Addr } from '../address.js';
import { firstIndex } from '../binary-search.js';
import { BytesError } from '../bytes.js';
import { GospyError } from '../errors.js';
import type { MemorySource, Range, Window } from '../memory.js';
import type { ElfFile, LoadedRange } from './elf-file.js';
import type { ElfSegment } from './headers.js';

/** Size of a window in bytes. Windows start at multiples of it, or where a segment starts. */
const BLOCK_BYTES = 2 ** 18;
/** Number of windows that are cached: 64 MB. */
const KEPT_BLOCKS = 256;
const NO_SEGMENTS: readonly ElfSegment[] = [];

/**
 * The memory that a process has from an executable or library: the file's read-only segments, at the addresses where they
 * were loaded. Meant as a layer below captured memory. Writable segments are left out, since the process may have changed
 * them; the option `writable` includes them, to look into the file itself. Segments of `without` are left out too.
 */
export class ElfSource implements MemorySource {
  readonly #file: ElfFile;
  readonly #bias: number;
  /** Ascending: a core may have thousands, and a capture of it asks for as many ranges as there are stacks. */
  readonly #ranges: readonly LoadedRange[];
  readonly #writable: boolean;
  readonly #without: readonly ElfSegment[];
  readonly #blockBytes: number;
  readonly #keptBlocks: number;
  /** By link-time start address, the oldest first. */
  readonly #windows = new Map<number, Window>();
  #problem: string | null = null;

  /** `bias` is the address in the process minus the link-time address: 0 unless the file is position-independent. */
  constructor(
    file: ElfFile,
    bias: number,
    { writable = false, without = NO_SEGMENTS, blockBytes = BLOCK_BYTES, keptBlocks = KEPT_BLOCKS } = {},
  ) {
    this.#file = file;
    this.#bias = bias;
    this.#writable = writable;
    this.#without = without;
    this.#blockBytes = blockBytes;
    this.#keptBlocks = keptBlocks;
    this.#ranges = file.loaded.filter((range) => this.#has(range));
  }

  window(addr: number): Window | null {
    const vaddr = addr - this.#bias;
    const range = this.#file.rangeAt(vaddr);
    if (range === undefined || !this.#has(range)) return null;
    const block = vaddr - (vaddr % this.#blockBytes);
    const lo = Math.max(range.lo, block);
    return this.#windows.get(lo) ?? this.#read(range, lo, Math.min(range.hi, block + this.#blockBytes));
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    const [ranges, bias] = [this.#ranges, this.#bias];
    for (let i = firstIndex(ranges.length, (i) => (ranges[i]?.hi ?? Infinity) + bias > lo); i < ranges.length; i++) {
      const start = Math.max(lo, (ranges[i]?.lo ?? Infinity) + bias);
      const end = Math.min(hi, (ranges[i]?.hi ?? Infinity) + bias);
      if (start >= hi) return;
      if (start < end) yield { lo: start as Addr, hi: end as Addr };
    }
  }

  absence(addr: number): string | null {
    const range = this.#file.rangeAt(addr - this.#bias);
    return range === undefined || !this.#has(range) ? null : this.#problem;
  }

  #has({ segment }: LoadedRange): boolean {
    return (this.#writable || !segment.writable) && !this.#without.includes(segment);
  }

  #read(range: LoadedRange, lo: number, hi: number): Window | null {
    let bytes: Uint8Array;
    try {
      bytes = this.#file.bytesInFile(range.fileOffset + (lo - range.lo), hi - lo);
    } catch (error) {
      if (!(error instanceof BytesError || error instanceof GospyError)) throw error;
      this.#problem = error.message;
      return null;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const window = { lo: lo + this.#bias, hi: hi + this.#bias, view };
    const [oldest] = this.#windows.keys();
    if (oldest !== undefined && this.#windows.size >= this.#keptBlocks) this.#windows.delete(oldest);
    this.#windows.set(lo, window);
    return window;
  }
}

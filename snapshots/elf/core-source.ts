import { hex } from '../address.js';
import type { MemorySource, Range, Window } from '../memory.js';
import type { ElfFile } from './elf-file.js';
import { SegmentType, type ElfSegment } from './headers.js';
import { ElfSource } from './elf-source.js';

/** Stacks lie all over the heap: small windows, and many of them. 128 MB are kept. */
const WINDOWS = { blockBytes: 2 ** 16, keptBlocks: 2 ** 11 };

/** The memory of a core: what it has in its file. What whoever wrote it left out is absent, and so is what was cut off. */
export class CoreSource implements MemorySource {
  readonly #file: ElfFile;
  readonly #source: ElfSource;
  /** Segments with memory that is not in the file, ascending. */
  readonly #partial: readonly ElfSegment[];
  readonly #asked = new Set<ElfSegment>();

  constructor(file: ElfFile) {
    this.#file = file;
    this.#source = new ElfSource(file, 0, { writable: true, ...WINDOWS });
    this.#partial = file.segments
      .filter(({ type, fileOffset, fileSize, memSize }) => {
        return type === SegmentType.load && (fileSize < memSize || fileOffset + fileSize > file.sizeBytes);
      })
      .sort((a, b) => a.vaddr - b.vaddr);
  }

  /** Segments that the file was to hold more of, of which that was asked for. */
  get cutAndAsked(): readonly ElfSegment[] {
    return [...this.#asked];
  }

  window(addr: number): Window | null {
    return this.#source.window(addr);
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return this.#source.ranges(lo, hi);
  }

  absence(addr: number): string | null {
    const read = this.#source.absence(addr);
    if (read !== null) return read;
    const segment = this.#partialAt(addr);
    if (segment === null) return null;
    if (addr >= segment.vaddr + segment.fileSize) return 'the core was written without it';
    this.#asked.add(segment);
    const offset = segment.fileOffset + (addr - segment.vaddr);
    return `the core was cut short: it lay at offset ${offset} (${hex(offset)}) of the file, which ends at ${this.#file.sizeBytes}`;
  }

  #partialAt(addr: number): ElfSegment | null {
    let lo = 0;
    let hi = this.#partial.length;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if ((this.#partial[mid]?.vaddr ?? Infinity) <= addr) lo = mid + 1;
      else hi = mid;
    }
    const segment = this.#partial[lo - 1];
    return segment !== undefined && addr < segment.vaddr + segment.memSize ? segment : null;
  }
}

import { hex } from '../address.js';
import { firstIndex } from '../binary-search.js';
import type { MemorySource, Range, Window } from '../memory.js';
import type { ElfFile } from './elf-file.js';
import { ElfSource } from './elf-source.js';
import { SegmentType, type ElfSegment } from './headers.js';

/** Stacks are scattered over the heap, so windows are small and many of them are cached: 128 MB. */
const WINDOWS = { blockBytes: 2 ** 16, keptBlocks: 2 ** 11 };

/** The memory in a core. Memory that its writer omitted, or that was cut off the end of the file, is absent. */
export class CoreSource implements MemorySource {
  readonly #file: ElfFile;
  readonly #source: ElfSource;
  /** Segments with memory that is not in the file, ascending. */
  readonly #partial: readonly ElfSegment[];
  readonly #cutAndRead = new Set<ElfSegment>();

  constructor(file: ElfFile) {
    this.#file = file;
    this.#source = new ElfSource(file, 0, { writable: true, ...WINDOWS });
    this.#partial = file.segments
      .filter(({ type, fileOffset, fileSize, memSize }) => {
        return type === SegmentType.load && (fileSize < memSize || fileOffset + fileSize > file.sizeBytes);
      })
      .sort((a, b) => a.vaddr - b.vaddr);
  }

  /** Truncated segments whose missing part was read. */
  get cutAndRead(): readonly ElfSegment[] {
    return [...this.#cutAndRead];
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
    this.#cutAndRead.add(segment);
    const offset = segment.fileOffset + (addr - segment.vaddr);
    return `the core was cut short: it lay at offset ${offset} (${hex(offset)}) of the file, which ends at ${this.#file.sizeBytes}`;
  }

  #partialAt(addr: number): ElfSegment | null {
    const next = firstIndex(this.#partial.length, (i) => (this.#partial[i]?.vaddr ?? Infinity) > addr);
    const segment = this.#partial[next - 1];
    return segment !== undefined && addr < segment.vaddr + segment.memSize ? segment : null;
  }
}

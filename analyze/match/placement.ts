import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SegmentType } from '../../snapshots/elf/headers.js';
import type { Range } from '../../snapshots/memory.js';

/**
 * Upper bound, in bytes, for how far apart two builds of the same source may place the same data. Linkers put strings
 * that depend on the build, such as flags and file paths, among the data.
 */
const LARGEST_SHIFT = 2 ** 22;

/** An assumption about where a process has the code and data of an ELF file. */
export class Placement {
  /** Address in the process minus link-time address in the file, of code. */
  readonly bias: number;
  readonly #code: Range;
  readonly #lo: number;
  readonly #hi: number;

  /** `code` is the range of the Go code in the process. */
  constructor(file: ElfFile, bias: number, code: Range) {
    this.bias = bias;
    this.#code = code;
    const loads = file.segments.filter(({ type }) => type === SegmentType.load);
    this.#lo = loads.reduce((least, { vaddr }) => Math.min(least, vaddr), Infinity) + bias;
    this.#hi = loads.reduce((most, { vaddr, memSize }) => Math.max(most, vaddr + memSize), 0) + bias + LARGEST_SHIFT;
  }

  /** Returns whether an address of the process is in its Go code. */
  isCode(addr: number): boolean {
    return addr >= this.#code.lo && addr < this.#code.hi;
  }

  /** Returns whether an address of the process is in the program, but not in its Go code. */
  isData(addr: number): boolean {
    return addr >= this.#lo && addr < this.#hi && !this.isCode(addr);
  }

  /** Returns whether an address of the process and one of the file may refer to the same data. */
  isSameData(inProcess: number, inFile: number): boolean {
    const expected = inFile + this.bias;
    return this.isData(inProcess) && this.isData(expected) && Math.abs(expected - inProcess) <= LARGEST_SHIFT;
  }

  /**
   * Returns whether an address stored in the process and the word in its place in the file may refer to the same code or
   * data. The word is 0 if the loader fills it in.
   */
  isSameAddress(inProcess: number, inFile: number): boolean {
    if (inFile === 0) return this.isCode(inProcess) || this.isData(inProcess);
    if (this.isCode(inProcess)) return inFile + this.bias === inProcess;
    return this.isSameData(inProcess, inFile);
  }
}

import type { Addr } from '../../snapshots/address.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SegmentType } from '../../snapshots/elf/headers.js';
import type { Range } from '../../snapshots/memory.js';

/**
 * How far data may lie from where another build of the same source has it: linkers put strings of the build itself, such
 * as its flags and the paths of its files, among the data.
 */
const FARTHEST = 2 ** 22;

/** A guess at where a process has the code of an ELF file. */
export class Placement {
  /** Address in the process minus address in the file. */
  readonly bias: number;
  readonly #code: Range;
  readonly #lo: number;
  readonly #hi: number;

  /** `code` is where the process has the Go code. */
  constructor(file: ElfFile, bias: number, code: Range) {
    this.bias = bias;
    this.#code = code;
    const loads = file.segments.filter(({ type }) => type === SegmentType.load);
    this.#lo = loads.reduce((least, { vaddr }) => Math.min(least, vaddr), Infinity) + bias;
    this.#hi = loads.reduce((most, { vaddr, memSize }) => Math.max(most, vaddr + memSize), 0) + bias + FARTHEST;
  }

  /** True for an address of the process within its Go code. */
  isCode(addr: number): boolean {
    return addr >= this.#code.lo && addr < this.#code.hi;
  }

  /** True for an address of the process within the program, but outside its Go code. */
  isData(addr: number): boolean {
    return addr >= this.#lo && addr < this.#hi && !this.isCode(addr);
  }

  /** True where one may be to the process what the other is to the file: data that lies at about the same place. */
  isSameData(inProcess: number, inFile: number): boolean {
    const placed = inFile + this.bias;
    return this.isData(inProcess) && this.isData(placed) && Math.abs(placed - inProcess) <= FARTHEST;
  }

  /** True where a word of the file is the address of the process as the linker knew it, or is left to the loader. */
  isSameAddress(inProcess: number, inFile: number): boolean {
    if (inFile === 0) return this.isCode(inProcess) || this.isData(inProcess);
    if (this.isCode(inProcess)) return inFile + this.bias === inProcess;
    return this.isSameData(inProcess, inFile);
  }

  /** Where the file has what the process has at an address. */
  inFile(addr: Addr): number {
    return addr - this.bias;
  }
}

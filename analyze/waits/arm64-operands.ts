import type { Flow } from './instruction.js';

/** Numbers of registers that code gives a role of its own: R31 is the stack pointer, or no register at all. */
export const R0 = 0;
export const R26 = 26;
export const G = 28;
export const FP = 29;
export const SP = 31;
/** No register. */
export const NONE = -1;

/** Bytes of an instruction. */
export const INSTRUCTION = 4;
/** What an instruction does to registers and memory, as far as it is told apart. */
export type Operation =
  | 'other'
  /** `rd` becomes {@link Arm64Operands.immediate}. */
  | 'constant'
  /** 16 bits of `rd` become those of the immediate, at {@link Arm64Operands.shift}. */
  | 'keep'
  /** `rd` becomes `rn` plus the immediate. */
  | 'add'
  /** `rd` becomes `rn` plus or minus {@link Arm64Operands.times} times `rm`. */
  | 'add-register'
  | 'subtract-register'
  /** `rd` becomes the immediate times `rn`. */
  | 'multiply'
  /** `rd` becomes `rm`. */
  | 'move'
  /** `rd`, and `rd2` of a pair, come from memory or go there. */
  | 'load'
  | 'store';

/**
 * What is known of an instruction of arm64: where it goes, its operands in memory and the general registers that it changes.
 * One object for all of them: its fields are those of the instruction decoded last.
 */
export class Arm64Operands {
  /** Where it begins in the code, and where the next one does. */
  at = 0;
  end = 0;
  /** Its first four bytes. */
  word = 0;
  operation: Operation = 'other';
  /** True for operands of 64 bits. */
  isWide = false;
  setsFlags = false;
  rd = NONE;
  rd2 = NONE;
  rn = NONE;
  rm = NONE;
  immediate = 0;
  shift = 0;
  /** The operand in memory: a register, -1 for none, a number that is added, and whether an index is, too. */
  base = NONE;
  displacement = 0;
  hasIndex = false;
  /** The register of the index, and how many times it is added; -1 for one that is extended first. */
  index = NONE;
  times = 1;
  /** What is added to the base in the end. */
  writeBack = 0;
  /** Bytes in memory that are loaded or stored. */
  bytes = 0;
  /** General registers that change: of 32 bits, one each. */
  changed = 0;
  atomic: 'compare' | 'add' | 'other' | null = null;
  added = NONE;
  flow: Flow = 'next';
  /** Where a direct call, jump or branch goes, as an offset in the code. */
  target = 0;
  /** The address that it computes from its own; null if it computes none. */
  named: number | null = null;
  isTableJump = false;

  protected reset(at: number, word: number): void {
    this.at = at;
    this.end = at + INSTRUCTION;
    this.word = word;
    this.operation = 'other';
    this.isWide = word >>> 31 === 1;
    this.setsFlags = this.hasIndex = this.isTableJump = false;
    this.rd = this.rd2 = this.rn = this.rm = this.base = this.index = this.added = NONE;
    this.times = 1;
    this.immediate = this.shift = this.displacement = this.writeBack = this.bytes = this.changed = this.target = 0;
    this.atomic = this.named = null;
    this.flow = 'next';
  }

  /** `maySp` where register 31 is the stack pointer. */
  protected toRegister(register: number, maySp: boolean): void {
    if (register === SP && !maySp) return;
    this.rd = register;
    this.changed |= bit(register);
  }
}

/** The number of a register as a bit of {@link Arm64Operands.changed}. */
export function bit(register: number): number {
  return register < 0 ? 0 : 1 << register;
}

/** The number of so many bits, the highest of which is its sign. */
export function signed(value: number, bits: number): number {
  return value >= 2 ** (bits - 1) ? value - 2 ** bits : value;
}

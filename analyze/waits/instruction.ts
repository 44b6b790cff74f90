import type { RegisterUse, Registers } from './code-registers.js';
import type { Value } from './code-values.js';

/** How control leaves an instruction, where it does not just go on to the next one. */
export type Flow = 'next' | 'call' | 'call-indirect' | 'jump' | 'jump-indirect' | 'branch' | 'return' | 'trap';

/** Where code keeps a truth value. */
export interface Truth {
  /** The register that is 0 if it is false; null if it is in none. */
  readonly register: number | null;
  /** Whether what was compared last is equal if it is true; null where that says nothing. */
  readonly equal: boolean | null;
}

/**
 * An instruction of machine code. One object for all of a function: its fields are those of the instruction decoded last.
 * Several instructions that do one thing together, such as a loop around an exclusive store, count as one.
 */
export interface Instruction {
  /** Where it begins in the code, and where the next one does. */
  readonly at: number;
  readonly end: number;
  readonly flow: Flow;
  /** Where a direct call, jump or branch goes, as an offset in the code. */
  readonly target: number;
  /** Of a jump: true for one by a table of addresses. */
  readonly isTableJump: boolean;
  /** The address that it computes from its own; null if it computes none. */
  readonly named: number | null;
  /** What it does atomically to a word in memory; null if it is not atomic. */
  readonly atomic: 'compare' | 'add' | 'other' | null;
  /** Of an atomic addition, the register that is added. */
  readonly added: number;

  /** Decodes the instruction at an offset. Returns false for bytes that are none, or none that is known. */
  decode(code: DataView, at: number): boolean;
  /** The address of its operand in memory; null where it is not known, or it has none. */
  address(registers: Registers): Value | null;
  /** The address of the code that an indirect call or jump goes to; null where it is not known. */
  callee(registers: Registers): Value | null;
  /** Follows values through it; not through a call. `escaped` gets the offsets in the frame whose address it takes. */
  step(registers: Registers, escaped: Set<number>): void;
  /** Where a truth value is after it; null if it is lost, or that is not known. Not for branches. */
  follow(truth: Truth): Truth | null;
  /** Of a branch: whether it is taken if the value is true, and not if it is false; null where it tells nothing. */
  branchesOn(truth: Truth): boolean | null;
}

/** What is to be known of a CPU's code and of the way in which Go's code uses its registers (cmd/compile/abi-internal.md). */
export interface Cpu extends RegisterUse {
  /** The first argument in a register, and the first result. */
  readonly first: number;
  /** A closure's own address, when it is called. */
  readonly closure: number;
  /** The registers that a call of runtime.gcWriteBarrier changes (runtime/asm_*.s): it keeps all others. */
  readonly changedByBarrier: readonly number[];
  /** The offsets at which code may have atomic instructions. */
  readonly atomicsIn: (code: DataView) => Iterable<number>;
  /** False for code without calls of what is found in memory. */
  readonly mayCallIndirectly: (code: DataView) => boolean;
  readonly instruction: (entry: number) => Instruction;
}

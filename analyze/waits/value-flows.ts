import type { CodeIndex, CodePoint } from '../stacks/code-index.js';
import { givenAs } from './call-results.js';
import { blocksOf, type Blocks } from './code-blocks.js';
import type { Registers } from './code-registers.js';
import { seenFrom, type Value } from './code-values.js';
import { CPUS } from './cpus.js';
import type { Cpu } from './instruction.js';
import { BARRIER, NOTHING, STACK_ARGUMENTS } from './lock-code.js';
import { LockFlow } from './lock-flow.js';
import { neverReturns } from './lock-functions.js';
import { pointedVariables } from './pointed-variables.js';
import { Remembered } from './remembered.js';

/** Longer functions are left alone. */
const MAX_CODE = 64 * 1024;
const WORD = 8;
/** Bytes of the instruction that calls a function. */
const CALL_BYTES = { amd64: 5, arm64: 4 } as const;

/** The code of a function, cut into blocks, and the values in it. */
export interface ValueFlow {
  readonly blocks: Blocks;
  readonly flow: LockFlow;
}

/** Follows values through functions, whatever those do with locks. Each function is worked out once. */
export class ValueFlows {
  readonly #code: CodeIndex;
  readonly #cpu: Cpu;
  readonly #inRegisters: boolean;
  /** By entry. */
  readonly #known = new Remembered<CodePoint, ValueFlow | null>((point) => this.#follow(point), null);

  constructor(code: CodeIndex) {
    this.#code = code;
    this.#cpu = CPUS[code.arch];
    this.#inRegisters = code.release.registerArguments[code.arch];
  }

  /** null for code that is absent, or not understood. */
  of(point: CodePoint): ValueFlow | null {
    return this.#known.at(point.func.entry, point);
  }

  /** What a call is given that returns to an offset: the argument of an index. */
  argument({ flow }: ValueFlow, next: number, index: number): Value | null {
    const registers = this.#beforeCall(flow, next);
    if (registers === undefined) return null;
    // Arguments are passed in the same registers as results.
    return this.#inRegisters
      ? registers.get(this.#cpu.results[index] ?? this.#cpu.first)
      : registers.argument(WORD * (index + 1), true);
  }

  /** A value of what a call calls that returns to an offset, in terms of the caller; null where that does not tell. */
  inCaller({ flow }: ValueFlow, next: number, value: Value): Value | null {
    const registers = this.#beforeCall(flow, next);
    return registers === undefined ? null : seenFrom(value, (origin) => givenAs(registers, origin, true));
  }

  #beforeCall(flow: LockFlow, next: number): Registers | undefined {
    return flow.at(next - CALL_BYTES[this.#code.arch], false)?.registers;
  }

  #follow(point: CodePoint): ValueFlow | null {
    const { entry, end } = point.func;
    if (end - entry > MAX_CODE) return null;
    const code = new DataView(this.#code.memory.bytes(entry, end - entry).buffer);
    const nameAt = (target: number): string => this.#code.at(entry + target)?.func.name ?? '';
    const instruction = this.#cpu.instruction(entry);
    const blocks = blocksOf(code, instruction, {
      isLast: (target) => neverReturns(nameAt(target)),
      casesAt: () => null,
    });
    if (blocks === null) return null;
    const argumentBytes = this.#inRegisters ? 0 : STACK_ARGUMENTS;
    const flow = new LockFlow(this.#cpu, code, instruction, blocks, {
      callee: (target) => ({
        ...NOTHING,
        argumentBytes: this.#inRegisters ? 0 : this.#argumentBytes(entry + target),
        isBarrier: nameAt(target).startsWith(BARRIER),
      }),
      inlined: () => null,
      changed: pointedVariables(this.#code, point),
      inRegisters: this.#inRegisters,
      argumentBytes,
    });
    return flow.run() ? { blocks, flow } : null;
  }

  /** Bytes of the stack that a callee may change as its arguments and results. */
  #argumentBytes(target: number): number {
    const callee = this.#code.at(target);
    return callee?.table.argumentBytes(callee.func) ?? STACK_ARGUMENTS;
  }
}

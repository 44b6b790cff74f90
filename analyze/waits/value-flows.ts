import type { CodeIndex, CodePoint } from '../stacks/code-index.js';
import { givenAs } from './call-results.js';
import { blocksOf } from './code-blocks.js';
import type { Registers } from './code-registers.js';
import { seenFrom, type Value } from './code-values.js';
import { CPUS } from './cpus.js';
import type { Cpu } from './instruction.js';
import { BARRIER, NOTHING, STACK_ARGUMENTS } from './lock-code.js';
import { neverReturns } from './lock-functions.js';
import { pointedVariables } from './pointed-variables.js';
import { RegisterFlow } from './register-flow.js';
import { Remembered } from './remembered.js';

/** Longer functions are left alone. */
const MAX_CODE = 64 * 1024;
const WORD = 8;
/** Bytes of the instruction that calls a function. */
const CALL_BYTES = { amd64: 5, arm64: 4 } as const;

/** Follows values through functions, whatever those do with locks. Each function is worked out once. */
export class ValueFlows {
  readonly #code: CodeIndex;
  readonly #cpu: Cpu;
  readonly #inRegisters: boolean;
  /** By entry. */
  readonly #known = new Remembered<CodePoint, RegisterFlow | null>((point) => this.#follow(point), null);

  constructor(code: CodeIndex) {
    this.#code = code;
    this.#cpu = CPUS[code.arch];
    this.#inRegisters = code.release.registerArguments[code.arch];
  }

  /** null for code that is absent, or not understood. */
  of(point: CodePoint): RegisterFlow | null {
    return this.#known.at(point.func.entry, point);
  }

  /** What a call is given that returns to an offset: the argument of an index. */
  argument(flow: RegisterFlow, next: number, index: number): Value | null {
    const registers = this.#beforeCall(flow, next);
    if (registers === null) return null;
    // Arguments are passed in the same registers as results.
    return this.#inRegisters
      ? registers.get(this.#cpu.results[index] ?? this.#cpu.first)
      : registers.argument(WORD * (index + 1), true);
  }

  /** A value of what a call calls that returns to an offset, in terms of the caller; null where that does not tell. */
  inCaller(flow: RegisterFlow, next: number, value: Value): Value | null {
    const registers = this.#beforeCall(flow, next);
    return registers === null ? null : seenFrom(value, (origin) => givenAs(registers, origin, true));
  }

  #beforeCall(flow: RegisterFlow, next: number): Registers | null {
    return flow.before(next - CALL_BYTES[this.#code.arch]);
  }

  #follow(point: CodePoint): RegisterFlow | null {
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
    const flow = new RegisterFlow(this.#cpu, code, instruction, blocks, {
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
    return flow.run() ? flow : null;
  }

  /** Bytes of the stack that a callee may change as its arguments and results. */
  #argumentBytes(target: number): number {
    const callee = this.#code.at(target);
    return callee?.table.argumentBytes(callee.func) ?? STACK_ARGUMENTS;
  }
}

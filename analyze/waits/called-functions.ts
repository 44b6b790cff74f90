import { onFault, type Memory } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { Value } from './code-values.js';
import { CPUS } from './cpus.js';
import { whenCalled, type Concrete } from './frame-values.js';
import type { Cpu } from './instruction.js';
import type { LockCode } from './lock-code.js';
import type { Mode } from './lock-functions.js';
import type { Hold, IndirectCall } from './lock-states.js';

/** A lock that a call acquires or releases. */
export interface Effect {
  readonly address: number;
  readonly mode: Mode;
  readonly isCertain: boolean;
}

/** What a call has done with its caller's locks when it returns. */
export interface Effects {
  readonly acquired: readonly Effect[];
  readonly released: readonly Effect[];
}

/** Functions that code calls by what it finds in memory: closures, and methods of interfaces. */
export class CalledFunctions {
  readonly #memory: Memory;
  readonly #program: GoProgram;
  readonly #cpu: Cpu;
  readonly #code: LockCode;

  constructor(program: GoProgram, code: LockCode) {
    this.#memory = program.memory;
    this.#program = program;
    this.#cpu = CPUS[program.image.arch];
    this.#code = code;
  }

  /** The function that begins at an address; null if none is known to. */
  at(pc: number | null): CodePoint | null {
    if (pc === null) return null;
    return onFault(
      () => this.#program.index.functionAt(pc),
      () => null,
    );
  }

  /** What a call does that code has made, or is to make; `find` knows values of that code. null where it has to do with no lock. */
  effectsOf(
    { callee, given, closure, isCertain }: IndirectCall,
    find: (value: Value) => Concrete | null,
  ): Effects | null {
    const found = find(callee);
    const func = found === null || found.address <= 0 ? null : this.at(found.address);
    if (func === null) return null;
    const [first, captured] = [given, closure].map((value) => (value === null ? null : find(value)));
    const at = (value: Value): Concrete | null =>
      whenCalled(this.#memory, this.#cpu, value, {
        closure: captured?.address ?? 0,
        saved: first === undefined || first === null ? [] : [first.address],
      });
    const method = this.#code.methods.callOf(func.func.name);
    if (method !== null) {
      if (first === undefined || first === null || method.does === 'wait' || method.does === 'try') return null;
      const effect = { address: first.address, mode: method.mode, isCertain };
      return method.does === 'acquire' ? { acquired: [effect], released: [] } : { acquired: [], released: [effect] };
    }
    const after = this.#code.afterCallOf(func);
    if (after === null) return null;
    const effects = (holds: Iterable<Hold>): Effect[] =>
      [...holds].flatMap((hold) => {
        const lock = at(hold.value);
        return lock === null ? [] : [{ ...hold, address: lock.address, isCertain: isCertain && hold.isCertain }];
      });
    return { acquired: effects(after.held), released: effects(after.released) };
  }
}

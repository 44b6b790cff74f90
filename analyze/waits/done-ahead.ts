import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { CPUS } from './cpus.js';
import { DeferredCalls, type DeferredCall } from './deferred-calls.js';
import { DoneCalls } from './done-calls.js';
import { EndingCode } from './ending-code.js';
import { FrameValues, readWord } from './frame-values.js';
import type { Cpu } from './instruction.js';
import { ValueFlows } from './value-flows.js';

/** Words of a closure that it may have captured. */
const MAX_CAPTURED = 8;
const WORD = 8;

/**
 * Tells of a goroutine that waits for a WaitGroup whether it has yet to call Done on it: then it waits for itself. As a function
 * may call Wait on one path and Done on another, or Done on another WaitGroup, what counts is what control comes to from where a
 * frame stands, with what the call is given; and which deferred calls are pending, with what they have captured.
 */
export class DoneAhead {
  readonly #program: GoProgram;
  readonly #cpu: Cpu;
  readonly #code: EndingCode;
  readonly #flows: ValueFlows;
  readonly #calls: DoneCalls;
  readonly #defers: DeferredCalls;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#cpu = CPUS[program.image.arch];
    this.#code = program.index.facts(EndingCode);
    this.#flows = program.index.facts(ValueFlows);
    this.#calls = program.index.facts(DoneCalls);
    this.#defers = new DeferredCalls(program);
  }

  /** Whether the function that is to be returned to at `pc` calls Done from there on, and adds to no WaitGroup. */
  mayCome(pc: number): boolean {
    return this.#calls.after(pc) !== null;
  }

  /** Whether a frame comes to a call of Done on the WaitGroup at an address. */
  comes({ pc, fp }: PhysicalFrame, group: number): boolean {
    const ahead = this.#calls.after(pc);
    if (ahead === null) return false;
    return ahead.calls.some((next) => {
      const given = this.#flows.argument(ahead.flow, next, 0);
      const registers = ahead.flow.duringCall(next);
      if (given === null || registers === null) return false;
      return new FrameValues(this.#program.memory, this.#cpu, registers, fp).find(given)?.address === group;
    });
  }

  /** Whether a frame has deferred a call that does something ({@link DOES}), and that has captured what lies at an address. */
  hasDeferred(g: G, frame: PhysicalFrame, addr: number, does: number): boolean {
    return onFault(
      () => {
        const recorded = this.#defers.recorded(g).filter(({ sp }) => sp === frame.sp);
        return [...recorded, ...this.#defers.coded(frame)].some(
          (call) => this.#does(call, does) && this.#has(call, addr),
        );
      },
      () => false,
    );
  }

  #does({ closure }: DeferredCall, does: number): boolean {
    const entry = readWord(this.#program.memory, closure);
    const func = entry === null ? undefined : this.#program.index.functionAt(entry)?.func;
    if (func === undefined) return false;
    const { own, within } = this.#code.of(func);
    return ((this.#code.doesCall(func) | own | within) & does) !== 0;
  }

  /** Variables that others may change are captured by their addresses. */
  #has({ closure, saved }: DeferredCall, addr: number): boolean {
    const { memory } = this.#program;
    const captured = Array.from({ length: MAX_CAPTURED }, (_, i) => readWord(memory, closure + WORD * (i + 1)));
    return [...saved, ...captured].some((word) => word !== null && (word === addr || readWord(memory, word) === addr));
  }
}

import type { Func } from '../binary/function-table.js';
import type { CodeIndex, CodePoint } from '../stacks/code-index.js';
import type { Blocks } from './code-blocks.js';
import type { Registers } from './code-registers.js';
import { shifted, type Value } from './code-values.js';
import { argumentOf, DOES, EndingCode, isOfLibrary } from './ending-code.js';
import { Remembered } from './remembered.js';
import { ValueFlows } from './value-flows.js';

/** Longer functions are not looked into for what their callers come to. */
const MAX_CALLEE = 4096;
const MAY_END = DOES.send | DOES.receive | DOES.close | DOES.signal;

/** A call in the code of a function by which a wait of somebody else may end. */
export interface EndCall {
  /** {@link DOES} */
  readonly does: number;
  /** What it is given, such as a channel. */
  readonly on: Value;
  /** True where a function does it that is called. */
  readonly isInCallee: boolean;
  /** Where the call returns to, in the code. */
  readonly next: number;
}

/** Where frames of a function stand, with the calls of the whole function. */
export interface EndPlace {
  readonly blocks: Blocks;
  readonly registers: Registers;
  readonly offset: number;
  readonly calls: readonly EndCall[];
}

/** Finds the calls in code by which waits may end, and what they are given. */
export class EndCalls {
  readonly #code: CodeIndex;
  readonly #endings: EndingCode;
  readonly #flows: ValueFlows;
  /** By entry; those of a function that is called, without what it calls in turn. */
  readonly #calls = new Remembered<CodePoint, readonly EndCall[]>((point) => this.#findCalls(point, true), []);
  readonly #ownCalls = new Remembered<CodePoint, readonly EndCall[]>((point) => this.#findCalls(point, false), []);
  /** By code address. */
  readonly #places = new Remembered<number, EndPlace | null>((pc) => this.#findPlace(pc), null);

  constructor(code: CodeIndex) {
    this.#code = code;
    this.#endings = code.facts(EndingCode);
    this.#flows = code.facts(ValueFlows);
  }

  /** null where the function of a frame that is to return to `pc` has none, or is not understood. */
  at(pc: number): EndPlace | null {
    return this.#places.at(pc, pc);
  }

  #findPlace(pc: number): EndPlace | null {
    const point = this.#code.at(pc);
    const calls = point === null ? [] : this.of(point);
    const flow = point === null || calls.length === 0 ? null : this.#flows.of(point);
    if (point === null || flow === null) return null;
    const offset = pc - point.func.entry;
    const registers = flow.duringCall(offset);
    // What the code does to its stack pointer must be what the function table says.
    if (registers === null || registers.sp !== -(point.spDelta ?? NaN)) return null;
    return { blocks: flow.blocks, registers, offset, calls };
  }

  /** Those of a function, and of those that it calls. */
  of(point: CodePoint): readonly EndCall[] {
    return this.#calls.at(point.func.entry, point);
  }

  #findCalls(point: CodePoint, withCallees: boolean): EndCall[] {
    const { func } = point;
    if (func.name.startsWith('runtime.')) return [];
    const sites = this.#endings.callsIn(func).filter(({ callee }) => {
      return (this.#endings.doesCall(callee) & MAY_END) !== 0 || (withCallees && this.#mayEnd(callee));
    });
    const flow = sites.length === 0 ? null : this.#flows.of(point);
    if (flow === null) return [];
    return sites.flatMap(({ next: returnsTo, callee }): EndCall[] => {
      const next = returnsTo - func.entry;
      const does = this.#endings.doesCall(callee) & MAY_END;
      if (does !== 0) {
        const { index, offset } = argumentOf(callee);
        const given = this.#flows.argument(flow, next, index);
        return given === null ? [] : [{ does, on: shifted(given, -offset), isInCallee: false, next }];
      }
      const called = this.#code.at(callee.entry);
      const own = called === null ? [] : this.#ownCalls.at(callee.entry, called);
      return own.flatMap((call) => {
        const on = this.#flows.inCaller(flow, next, call.on);
        return on === null ? [] : [{ ...call, on, isInCallee: true, next }];
      });
    });
  }

  /** Whether a function does something itself, of those that are worth to be looked into. */
  #mayEnd(callee: Func): boolean {
    if (isOfLibrary(callee) || callee.end - callee.entry > MAX_CALLEE) return false;
    return this.#endings.callsIn(callee).some((call) => (this.#endings.doesCall(call.callee) & MAY_END) !== 0);
  }
}

import { onFault } from '../../snapshots/memory.js';
import type { Func } from '../binary/function-table.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { reaches, type Blocks } from './code-blocks.js';
import type { Registers } from './code-registers.js';
import { shifted, type Value } from './code-values.js';
import { CPUS } from './cpus.js';
import { DeferredCalls } from './deferred-calls.js';
import { argumentOf, DOES, isOfLibrary, type EndingCode } from './ending-code.js';
import { FrameValues, readWord, whenCalled } from './frame-values.js';
import { ValueFlows } from './value-flows.js';

/** Longer functions are not looked into for what their callers come to. */
const MAX_CALLEE = 4096;
const MAY_END = DOES.send | DOES.receive | DOES.close | DOES.signal;
const OPPOSITE: ReadonlyMap<number, number> = new Map([
  [DOES.send, DOES.receive],
  [DOES.receive, DOES.send],
]);

/** A call in the code of a function by which a wait of somebody else may end. */
interface EndCall {
  /** {@link DOES} */
  readonly does: number;
  /** What it is given, such as a channel. */
  readonly on: Value;
  /** True where a function does it that is called. */
  readonly isInCallee: boolean;
  /** Where the call returns to, in the code. */
  readonly next: number;
}

/** What a goroutine does to something before long, and the frame that says so. */
export interface Reached {
  readonly addr: number;
  /** {@link DOES} */
  readonly does: number;
  readonly how: 'itself' | 'by a callee' | 'deferred';
  /** True where the function has done something to it before: such as taken out what it gives back. */
  readonly isGivenBack: boolean;
}

/** Where frames of a function stand, with the calls of the whole function. */
interface Place {
  readonly blocks: Blocks;
  readonly registers: Registers;
  readonly offset: number;
  readonly calls: readonly EndCall[];
}

/**
 * Tells what goroutines will do to channels and Conds that their frames do not name, but lead to: by a field of what a method was
 * called on, or by what a global points to. What counts is what control comes to from where a frame stands.
 */
export class ReachedCalls {
  readonly #program: GoProgram;
  readonly #code: EndingCode;
  readonly #flows: ValueFlows;
  readonly #defers: DeferredCalls;
  /** By entry; those of a function that is called, without what it calls in turn. */
  readonly #calls = new Map<number, readonly EndCall[]>();
  readonly #ownCalls = new Map<number, readonly EndCall[]>();
  /** By code address. */
  readonly #places = new Map<number, Place | null>();

  constructor(program: GoProgram, code: EndingCode, flows: ValueFlows) {
    this.#program = program;
    this.#code = code;
    this.#flows = flows;
    this.#defers = new DeferredCalls(program);
  }

  /** Whether a goroutine that is to return to `pc` may do something there, or in a deferred call. */
  mayCome(pc: number): boolean {
    if (this.#placeAt(pc) !== null) return true;
    return onFault(
      () => {
        const point = this.#program.index.at(pc);
        return point !== null && this.#defers.hasCoded(point);
      },
      () => false,
    );
  }

  /** What a frame comes to. */
  of(g: G, frame: PhysicalFrame): Reached[] {
    return onFault(
      () => [...this.#ahead(frame), ...this.#deferred(g, frame)],
      () => [],
    );
  }

  *#ahead({ pc, fp }: PhysicalFrame): Iterable<Reached> {
    const place = this.#placeAt(pc);
    if (place === null) return;
    const { blocks, registers, offset } = place;
    const values = new FrameValues(this.#program.memory, CPUS[this.#program.image.arch], registers, fp);
    const found = place.calls.flatMap((call) => {
      const addr = values.find(call.on)?.address ?? 0;
      return addr > 0 ? [{ ...call, addr }] : [];
    });
    for (const { does, addr, isInCallee, next } of found) {
      const alike = found.filter((other) => other.addr === addr && other.next !== offset);
      const opposite = OPPOSITE.get(does) ?? 0;
      const stops = new Set(alike.filter((other) => (other.does & opposite) !== 0).map((other) => other.next));
      // One that takes something out before it gives it back does not have it yet.
      if (next === offset || !reaches(blocks, offset, new Set([next]), stops)) continue;
      const isGivenBack = !reaches(blocks, 0, new Set([offset]), new Set(alike.map((other) => other.next)));
      yield { addr, does, how: isInCallee ? 'by a callee' : 'itself', isGivenBack };
    }
  }

  *#deferred(g: G, frame: PhysicalFrame): Iterable<Reached> {
    const { memory, image, index } = this.#program;
    const recorded = this.#defers.hasRecords(g.addr) ? this.#defers.recorded(g) : [];
    for (const call of [...recorded.filter(({ sp }) => sp === frame.sp), ...this.#defers.coded(frame)]) {
      const entry = readWord(memory, call.closure);
      const point = entry === null ? null : index.at(entry);
      if (point?.func.entry !== entry) continue;
      for (const { does, on } of this.#callsIn(point)) {
        const addr = whenCalled(memory, CPUS[image.arch], on, call)?.address ?? 0;
        if (addr > 0) yield { addr, does, how: 'deferred', isGivenBack: true };
      }
    }
  }

  #placeAt(pc: number): Place | null {
    let known = this.#places.get(pc);
    if (known === undefined) {
      known = onFault(
        () => this.#findPlace(pc),
        () => null,
      );
      this.#places.set(pc, known);
    }
    return known;
  }

  #findPlace(pc: number): Place | null {
    const point = this.#program.index.at(pc);
    const calls = point === null ? [] : this.#callsIn(point);
    const flow = point === null || calls.length === 0 ? null : this.#flows.of(point);
    if (point === null || flow === null) return null;
    const offset = pc - point.func.entry;
    const registers = flow.flow.at(offset, true)?.registers;
    // What the code does to its stack pointer must be what the function table says.
    if (registers?.sp !== -(point.spDelta ?? NaN)) return null;
    return { blocks: flow.blocks, registers, offset, calls };
  }

  /** Those of a function, and of those that it calls. */
  #callsIn(point: CodePoint): readonly EndCall[] {
    return memoized(this.#calls, point, () => this.#findCalls(point, true));
  }

  #findCalls(point: CodePoint, withCallees: boolean): EndCall[] {
    const { func } = point;
    if (func.name.startsWith('runtime.')) return [];
    const sites = this.#code.callsIn(func).filter(({ callee }) => {
      return (this.#code.doesCall(callee) & MAY_END) !== 0 || (withCallees && this.#mayEnd(callee));
    });
    const flow = sites.length === 0 ? null : this.#flows.of(point);
    if (flow === null) return [];
    return sites.flatMap(({ next: returnsTo, callee }): EndCall[] => {
      const next = returnsTo - func.entry;
      const does = this.#code.doesCall(callee) & MAY_END;
      if (does !== 0) {
        const { index, offset } = argumentOf(callee);
        const given = this.#flows.argument(flow, next, index);
        return given === null ? [] : [{ does, on: shifted(given, -offset), isInCallee: false, next }];
      }
      const called = this.#program.index.at(callee.entry);
      const own = called === null ? [] : memoized(this.#ownCalls, called, () => this.#findCalls(called, false));
      return own.flatMap((call) => {
        const on = this.#flows.inCaller(flow, next, call.on);
        return on === null ? [] : [{ ...call, on, isInCallee: true, next }];
      });
    });
  }

  /** Whether a function does something itself, of those that are worth to be looked into. */
  #mayEnd(callee: Func): boolean {
    if (isOfLibrary(callee) || callee.end - callee.entry > MAX_CALLEE) return false;
    return this.#code.callsIn(callee).some((call) => (this.#code.doesCall(call.callee) & MAY_END) !== 0);
  }
}

function memoized<T>(known: Map<number, T>, { func: { entry } }: CodePoint, find: () => T): T {
  const before = known.get(entry);
  if (before !== undefined) return before;
  const found = find();
  known.set(entry, found);
  return found;
}

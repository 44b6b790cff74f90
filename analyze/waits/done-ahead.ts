import { onFault } from '../../snapshots/memory.js';
import type { Func } from '../binary/function-table.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { CodePoint } from '../stacks/code-index.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { blocksOf, type Blocks } from './code-blocks.js';
import { CPUS } from './cpus.js';
import { DeferredCalls, type DeferredCall } from './deferred-calls.js';
import type { EndingCode } from './ending-code.js';
import { FrameValues, readWord } from './frame-values.js';
import type { Cpu } from './instruction.js';
import { BARRIER, NOTHING, STACK_ARGUMENTS } from './lock-code.js';
import { LockFlow } from './lock-flow.js';
import { neverReturns } from './lock-functions.js';
import { pointedVariables } from './pointed-variables.js';

const DONE = 'sync.(*WaitGroup).Done';
const ADD = 'sync.(*WaitGroup).Add';
/** Longer functions are left alone. */
const MAX_CODE = 64 * 1024;
/** Words of a closure that it may have captured. */
const MAX_CAPTURED = 8;
const WORD = 8;
/** Bytes of the instruction that calls a function. */
const CALL_BYTES = { amd64: 5, arm64: 4 } as const;

/** The calls of Done that control comes to from one place, and the flow of values in the function. */
interface Ahead {
  readonly flow: LockFlow;
  /** Where these calls are, in the code. */
  readonly calls: readonly number[];
}

/**
 * Tells of a goroutine that waits for a WaitGroup whether it has yet to call Done on it: then it waits for itself. As a function
 * may call Wait on one path and Done on another, or Done on another WaitGroup, what counts is what control comes to from where a
 * frame stands, with what the call is given; and which deferred calls are pending, with what they have captured.
 */
export class DoneAhead {
  readonly #program: GoProgram;
  readonly #cpu: Cpu;
  readonly #code: EndingCode;
  readonly #defers: DeferredCalls;
  /** By code address. */
  readonly #known = new Map<number, Ahead | null>();

  constructor(program: GoProgram, code: EndingCode) {
    this.#program = program;
    this.#cpu = CPUS[program.image.arch];
    this.#code = code;
    this.#defers = new DeferredCalls(program);
  }

  /** Whether the function that is to be returned to at `pc` calls Done from there on, and adds to no WaitGroup. */
  mayCome(pc: number): boolean {
    return this.#aheadOf(pc) !== null;
  }

  /** Whether a frame comes to a call of Done on the WaitGroup at an address. */
  comes({ pc, fp }: PhysicalFrame, group: number): boolean {
    const ahead = this.#aheadOf(pc);
    if (ahead === null) return false;
    const { memory, layouts, image } = this.#program;
    return ahead.calls.some((at) => {
      const registers = ahead.flow.at(at, false)?.registers;
      if (registers === undefined) return false;
      const inRegister = layouts.release.registerArguments[image.arch];
      const given = inRegister ? registers.get(this.#cpu.first) : registers.argument(WORD, true);
      const found = given === null ? null : new FrameValues(memory, this.#cpu, registers, fp).find(given);
      return found?.address === group;
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
    const func = entry === null ? undefined : this.#program.index.at(entry)?.func;
    if (func === undefined || func.entry !== entry) return false;
    const { own, within } = this.#code.of(func);
    return ((this.#code.doesCall(func) | own | within) & does) !== 0;
  }

  /** Variables that others may change are captured by their addresses. */
  #has({ closure, saved }: DeferredCall, addr: number): boolean {
    const { memory } = this.#program;
    const captured = Array.from({ length: MAX_CAPTURED }, (_, i) => readWord(memory, closure + WORD * (i + 1)));
    return [...saved, ...captured].some((word) => word !== null && (word === addr || readWord(memory, word) === addr));
  }

  #aheadOf(pc: number): Ahead | null {
    let known = this.#known.get(pc);
    if (known === undefined) {
      known = onFault(
        () => this.#find(pc),
        () => null,
      );
      this.#known.set(pc, known);
    }
    return known;
  }

  #find(pc: number): Ahead | null {
    const point = this.#program.index.at(pc);
    if (point === null || point.func.end - point.func.entry > MAX_CODE) return null;
    const { func } = point;
    const calls = this.#code.callsIn(func).filter(({ callee: { name } }) => name === DONE || name === ADD);
    const blocks = calls.length === 0 ? null : this.#blocksOf(func);
    if (blocks === null) return null;
    const ranges = [...ahead(blocks, pc - func.entry)];
    const reached = calls.filter(({ next }) => {
      return ranges.some(({ from, to }) => next - func.entry > from && next - func.entry <= to);
    });
    // One that adds to a WaitGroup may call Done for that.
    if (reached.length === 0 || reached.some(({ next, callee }) => callee.name !== DONE && !this.#isDone(next)))
      return null;
    const flow = this.#flowOf(point, blocks);
    const bytes = CALL_BYTES[this.#program.image.arch];
    return flow === null ? null : { flow, calls: reached.map(({ next }) => next - func.entry - bytes) };
  }

  /** Done is inlined to a call of Add. */
  #isDone(next: number): boolean {
    const lines = this.#program.index.at(next)?.lines(false) ?? [];
    return lines.some(({ name, inlined }) => inlined && name === DONE);
  }

  #blocksOf({ entry, end }: Func): Blocks | null {
    return blocksOf(this.#codeOf(entry, end), this.#cpu.instruction(entry), {
      isLast: (target) => neverReturns(this.#program.index.at(entry + target)?.func.name ?? ''),
      casesAt: () => null,
    });
  }

  #flowOf(point: CodePoint, blocks: Blocks): LockFlow | null {
    const { entry, end } = point.func;
    const inRegisters = this.#program.layouts.release.registerArguments[this.#program.image.arch];
    const argumentBytes = inRegisters ? 0 : STACK_ARGUMENTS;
    const flow = new LockFlow(this.#cpu, this.#codeOf(entry, end), this.#cpu.instruction(entry), blocks, {
      callee: (target) => {
        const name = this.#program.index.at(entry + target)?.func.name ?? '';
        return { ...NOTHING, argumentBytes, isBarrier: name.startsWith(BARRIER) };
      },
      inlined: () => null,
      changed: pointedVariables(this.#program, point),
      inRegisters,
      argumentBytes,
    });
    return flow.run() ? flow : null;
  }

  #codeOf(entry: Func['entry'], end: number): DataView {
    return new DataView(this.#program.memory.bytes(entry, end - entry).buffer);
  }
}

/** The code that control may come to from an offset on: parts of blocks. */
function* ahead(blocks: Blocks, offset: number): Iterable<{ readonly from: number; readonly to: number }> {
  const first = [...blocks.values()].find(({ start, end }) => offset > start && offset <= end);
  if (first === undefined) return;
  yield { from: offset, to: first.end };
  const seen = new Set<number>();
  const waiting = [first.next, ...first.taken];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const block = at === null || seen.has(at) ? undefined : blocks.get(at);
    if (at === null || block === undefined) continue;
    seen.add(at);
    yield { from: block.start, to: block.end };
    waiting.push(block.next, ...block.taken);
  }
}

import type { CodeIndex } from '../stacks/code-index.js';
import { aheadOf } from './code-blocks.js';
import { EndingCode } from './ending-code.js';
import { Remembered } from './remembered.js';
import type { RegisterFlow } from './register-flow.js';
import { ValueFlows } from './value-flows.js';

const DONE = 'sync.(*WaitGroup).Done';
const ADD = 'sync.(*WaitGroup).Add';

/** The calls of Done that control comes to from one place, and the flow of values in the function. */
export interface DoneAt {
  readonly flow: RegisterFlow;
  /** Where these calls return to, in the code. */
  readonly calls: readonly number[];
}

/** Finds the calls of sync.WaitGroup.Done in code. */
export class DoneCalls {
  readonly #code: CodeIndex;
  readonly #endings: EndingCode;
  readonly #flows: ValueFlows;
  /** By code address. */
  readonly #known = new Remembered<number, DoneAt | null>((pc) => this.#find(pc), null);

  constructor(code: CodeIndex) {
    this.#code = code;
    this.#endings = code.facts(EndingCode);
    this.#flows = code.facts(ValueFlows);
  }

  /** null where the function that is to be returned to at `pc` calls no Done from there on, or adds to a WaitGroup. */
  after(pc: number): DoneAt | null {
    return this.#known.at(pc, pc);
  }

  #find(pc: number): DoneAt | null {
    const point = this.#code.at(pc);
    if (point === null) return null;
    const { func } = point;
    const calls = this.#endings.callsIn(func).filter(({ callee: { name } }) => name === DONE || name === ADD);
    const flow = calls.length === 0 ? null : this.#flows.of(point);
    if (flow === null) return null;
    const ranges = [...aheadOf(flow.blocks, pc - func.entry)];
    const reached = calls.filter(({ next }) => {
      return ranges.some(({ from, to }) => next - func.entry > from && next - func.entry <= to);
    });
    // One that adds to a WaitGroup may call Done for that.
    if (reached.length === 0 || reached.some(({ next, callee }) => callee.name !== DONE && !this.#isDone(next)))
      return null;
    return { flow, calls: reached.map(({ next }) => next - func.entry) };
  }

  /** Done is inlined to a call of Add. */
  #isDone(next: number): boolean {
    const lines = this.#code.at(next)?.lines(false) ?? [];
    return lines.some(({ name, inlined }) => inlined && name === DONE);
  }
}

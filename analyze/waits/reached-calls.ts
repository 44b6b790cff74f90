import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';
import { reaches } from './code-blocks.js';
import { CPUS } from './cpus.js';
import { DeferredCalls } from './deferred-calls.js';
import { EndCalls } from './end-calls.js';
import { DOES } from './ending-code.js';
import { FrameValues, readWord, whenCalled } from './frame-values.js';

const OPPOSITE: ReadonlyMap<number, number> = new Map([
  [DOES.send, DOES.receive],
  [DOES.receive, DOES.send],
]);

/** What a goroutine does to something before long, and the frame that says so. */
export interface Reached {
  readonly addr: number;
  /** {@link DOES} */
  readonly does: number;
  readonly how: 'itself' | 'by a callee' | 'deferred';
  /** True where the function has done something to it before: such as taken out what it gives back. */
  readonly isGivenBack: boolean;
}

/**
 * Tells what goroutines will do to channels and Conds that their frames do not name, but lead to: by a field of what a method was
 * called on, or by what a global points to. What counts is what control comes to from where a frame stands.
 */
export class ReachedCalls {
  readonly #program: GoProgram;
  readonly #calls: EndCalls;
  readonly #defers: DeferredCalls;

  constructor(program: GoProgram) {
    this.#program = program;
    this.#calls = program.index.facts(EndCalls);
    this.#defers = new DeferredCalls(program);
  }

  /** Whether a goroutine that is to return to `pc` may do something there, or in a deferred call. */
  mayCome(pc: number): boolean {
    if (this.#calls.at(pc) !== null) return true;
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
    const place = this.#calls.at(pc);
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
      const point = entry === null ? null : index.functionAt(entry);
      if (point === null) continue;
      for (const { does, on } of this.#calls.of(point)) {
        const addr = whenCalled(memory, CPUS[image.arch], on, call)?.address ?? 0;
        if (addr > 0) yield { addr, does, how: 'deferred', isGivenBack: true };
      }
    }
  }
}

import type { GoProgram } from '../../analyze/program.js';
import { readGoroutine } from '../../analyze/runtime/memory-ranges.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import type { StackPlan } from '../../analyze/runtime/stack-plan.js';
import { StackIds, type KnownStack } from '../../analyze/stack-ids.js';
import type { Addr } from '../../snapshots/address.js';
import { LayeredSource, Memory, type MemorySource } from '../../snapshots/memory.js';
import { OneStack } from './late-walk.js';
import type { ReadStack } from './stack-batches.js';

/** Kinds that are told apart: there are few, unless what was read is damaged. */
const MAX_KINDS = 1 << 16;

/**
 * Which goroutines stand where others do: found out as their stacks are read ahead and are at hand anyway, so that those that stay
 * where they are need not be followed again.
 */
export class StackKinds {
  readonly #plan: StackPlan;
  readonly #program: GoProgram;
  readonly #stack = new OneStack();
  readonly #ids = new StackIds();
  readonly #kinds: KnownStack[] = [];
  readonly #numbers = new Map<KnownStack, number>();
  /** By index of a goroutine: one more than that of its kind, 0 where it is not known; and where its stack began then. */
  readonly #kindOf: Uint32Array;
  readonly #sp: Float64Array;

  /** `program` is the one of the plan; `records` has the gs as they were when the stacks were read. */
  constructor(plan: StackPlan, program: GoProgram, records: MemorySource) {
    this.#plan = plan;
    this.#program = program.over({ memory: new Memory(new LayeredSource([this.#stack, records])) });
    this.#kindOf = new Uint32Array(plan.goroutines.length);
    this.#sp = new Float64Array(plan.goroutines.length);
  }

  /** Finds out the kind of a stack that was just read. */
  add(stack: ReadStack): void {
    const g = readGoroutine(this.#program, (this.#plan.goroutines[stack.owner] ?? 0) as Addr);
    if (g === null) return;
    this.#stack.set(stack);
    const { known } = this.#ids.find(this.#program, g);
    let number = this.#numbers.get(known);
    if (number === undefined) {
      if (this.#kinds.length === MAX_KINDS) return;
      number = this.#kinds.push(known);
      this.#numbers.set(known, number);
    }
    this.#kindOf[stack.owner] = number;
    this.#sp[stack.owner] = startOf(g).sp;
  }

  /** The stack of a goroutine that is where it was when that was read; null where it is not, or its stack was not read. */
  of(g: G): KnownStack | null {
    const i = this.#plan.indexOf(g.addr);
    const known = this.#kinds[(this.#kindOf[i] ?? 0) - 1];
    const { pc, sp } = startOf(g);
    return known !== undefined && known.frames[0]?.pc === pc && this.#sp[i] === sp ? known : null;
  }
}

function startOf({ sched, syscallsp, syscallpc }: G): { readonly pc: number; readonly sp: number } {
  return syscallsp === 0 ? sched : { pc: syscallpc, sp: syscallsp };
}

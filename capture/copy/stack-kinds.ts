import type { Alike } from '../../analyze/alike.js';
import type { GoProgram } from '../../analyze/program.js';
import type { GoroutineReader } from '../../analyze/runtime/goroutine.js';
import type { StackPlan } from '../../analyze/runtime/stack-plan.js';
import { StackIds, type KnownStack } from '../../analyze/stack-ids.js';
import type { Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { LayeredSource, Memory } from '../../snapshots/memory.js';
import { OneStack } from './late-walk.js';
import type { RunSource } from './run-source.js';
import type { ReadStack } from './stack-batches.js';

/** Kinds that are told apart: there are few, unless what was read is damaged. */
const MAX_KINDS = 1 << 16;

/** What goroutines of one kind have in common. */
interface Kind extends Alike {
  readonly number: number;
  readonly startpc: number;
  readonly gopc: number;
}

/**
 * Which goroutines are alike: found out as their stacks are read ahead and are at hand anyway, so that those that stay where they are
 * need not be looked at again.
 */
export class StackKinds {
  readonly #plan: StackPlan;
  readonly #program: GoProgram;
  readonly #records: RunSource;
  readonly #reader: GoroutineReader;
  /** Offsets in a g. */
  readonly #at;
  readonly #stack = new OneStack();
  readonly #ids = new StackIds();
  readonly #kinds: Kind[] = [];
  readonly #byStack = new Map<KnownStack, Kind[]>();
  /** By index of a goroutine: one more than the number of its kind, 0 where it has none; and its stack pointer then. */
  readonly #kindOf: Uint32Array;
  readonly #sp: Float64Array;

  /** `program` is the one of the plan; `records` has the gs as they were when the stacks were read. */
  constructor(plan: StackPlan, program: GoProgram, records: RunSource) {
    this.#plan = plan;
    this.#program = program.over({ memory: new Memory(new LayeredSource([this.#stack, records])) });
    this.#records = records;
    this.#reader = program.goroutineReader;
    this.#at = { ...program.goroutineReader.offsets, defers: program.layouts.of('g').offset('_defer') };
    this.#kindOf = new Uint32Array(plan.goroutines.length);
    this.#sp = new Float64Array(plan.goroutines.length);
  }

  /** Finds out the kind of the goroutine whose stack was just read. */
  add(stack: ReadStack): void {
    const at = this.#plan.offsetOf(stack.owner);
    if (at < 0 || wordAt(this.#records.view, at + this.#at.defers) !== 0) return;
    const g = this.#reader.inView(this.#records.view, at, (this.#plan.goroutines[stack.owner] ?? 0) as Addr);
    if (g?.status !== 'waiting' || g.syscallsp !== 0 || g.ancestors !== 0) return;
    this.#stack.set(stack);
    const kind = this.#kind(this.#ids.find(this.#program, g).known, g.startpc, g.gopc);
    this.#kindOf[stack.owner] = kind === null ? 0 : kind.number + 1;
    this.#sp[stack.owner] = g.sched.sp;
  }

  /** The same one as for all that are like the goroutine at an index; null unless that is where it was when its stack was read. */
  at(i: number): Alike | null {
    const kind = this.#kinds[(this.#kindOf[i] ?? 0) - 1];
    const g = this.#plan.offsetOf(i);
    if (kind === undefined || g < 0 || this.#records.failed.length > 0) return null;
    const { view } = this.#records;
    const { schedPc, schedSp, syscallsp } = this.#at;
    const isThere = wordAt(view, g + schedSp) === this.#sp[i] && wordAt(view, g + schedPc) === kind.stack.frames[0]?.pc;
    return isThere && wordAt(view, g + syscallsp) === 0 ? kind : null;
  }

  /** The label set of the goroutine at an index, or 0. */
  labelsOf(i: number): Addr {
    return wordAt(this.#records.view, this.#plan.offsetOf(i) + this.#at.labels) as Addr;
  }

  #kind(stack: KnownStack, startpc: number, gopc: number): Kind | null {
    let alike = this.#byStack.get(stack);
    if (alike === undefined) this.#byStack.set(stack, (alike = []));
    const known = alike.find((kind) => kind.startpc === startpc && kind.gopc === gopc);
    if (known !== undefined || this.#kinds.length === MAX_KINDS) return known ?? null;
    const kind = { stack, startpc, gopc, number: this.#kinds.length };
    this.#kinds.push(kind);
    alike.push(kind);
    return kind;
  }
}

import type { Alike, AlikeGoroutines, Member } from '../../analyze/alike.js';
import type { GoProgram } from '../../analyze/program.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import type { StackPlan } from '../../analyze/runtime/stack-plan.js';
import type { Whereabouts } from '../../analyze/runtime/whereabouts.js';
import type { LastRead } from '../../analyze/work/survey.js';
import type { Addr } from '../../snapshots/address.js';
import type { RunSource } from './run-source.js';
import type { StackKinds } from './stack-kinds.js';
import type { StoredStacks } from './stored-stacks.js';

/** What a copy knows of its goroutines. */
export interface CopiedRecords {
  /** The gs, as they were read last. */
  readonly records: RunSource;
  readonly stackPlan: StackPlan;
  readonly stored: StoredStacks;
  /** null where it was not found out. */
  readonly kinds: StackKinds | null;
  readonly elemTypes: ReadonlySet<number>;
}

/** The goroutines of a copy. Of those whose stacks were read ahead, and not again, it is known which are alike. */
export class CopiedGoroutines implements AlikeGoroutines {
  readonly #program: GoProgram;
  readonly #records: RunSource;
  readonly #stackPlan: StackPlan;
  readonly #stored: StoredStacks;
  readonly #kinds: StackKinds | null;
  readonly #elemTypes: ReadonlySet<number>;
  #others: Float64Array | null = null;
  #count = 0;

  /** `program` has the copy as its memory. */
  constructor(program: GoProgram, { records, stackPlan, stored, kinds, elemTypes }: CopiedRecords) {
    this.#program = program;
    this.#records = records;
    this.#stackPlan = stackPlan;
    this.#stored = stored;
    this.#kinds = kinds;
    this.#elemTypes = elemTypes;
  }

  /** Addresses of those whose stacks were not read ahead, or read again. Throws MemoryFault where the list of all is damaged. */
  get others(): Float64Array {
    return (this.#others ??= this.#program.listedAddresses().filter((g) => !this.#stored.holds(g)));
  }

  /** How many there were when the members were last gone through. */
  get count(): number {
    return this.#count;
  }

  *members(isWanted: (alike: Alike) => boolean): Iterable<Member> {
    this.#count = 0;
    for (const i of this.#stored.owners()) {
      const alike = this.#kinds?.at(i) ?? null;
      const isSkipped = alike !== null && !isWanted(alike);
      const g = isSkipped ? null : this.#goroutine(i);
      if (isSkipped || g !== null) this.#count++;
      if (g !== null) yield { g, alike };
    }
    for (const g of this.#program.goroutinesAt(this.others)) {
      this.#count++;
      yield { g, alike: null };
    }
  }

  *labels(): Iterable<Addr> {
    let last = 0;
    for (const i of this.#stored.owners()) {
      const labels = this.#kinds === null || this.#kinds.at(i) === null ? 0 : this.#kinds.labelsOf(i);
      if (labels !== 0 && labels !== last) yield labels;
      last = labels;
    }
  }

  /** The goroutine at an index; null, with a warning where it cannot be read, if it has ended. */
  #goroutine(i: number): G | null {
    const address = (this.#stackPlan.goroutines[i] ?? 0) as Addr;
    const at = this.#records.failed.length > 0 ? -1 : this.#stackPlan.offsetOf(i);
    const g = at < 0 ? null : this.#program.goroutineReader.inView(this.#records.view, at, address);
    return g === null || g.status === 'dead' ? this.#program.goroutineAt(address) : g;
  }

  get elemTypes(): Iterable<Addr> {
    return this.#elemTypes as ReadonlySet<Addr>;
  }
}

/** A program as it was read last. */
export interface LastCopy extends LastRead {
  readonly goroutines: CopiedGoroutines;
  /** Where the goroutines of the plan waited, as {@link StackPlan.whereabouts} tells. */
  readonly whereabouts: Whereabouts | null;
  /** Goroutines that began after the plan was made, as the last look came upon them. */
  readonly born: Float64Array;
}

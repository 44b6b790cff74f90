import type { Addr } from '../../snapshots/address.js';
import type { Thread } from '../../snapshots/image.js';
import type { ThreadPosition } from '../../analyze/runtime/memory-ranges.js';
import { forbidRest } from '../process/cpu-quota.js';
import { Copy, type CopyContents, type Lists } from './copy.js';
import type { LastCopy } from './copied-goroutines.js';
import type { CopySource } from './late-reads.js';
import type { Plan, Survey } from './plan.js';
import type { Packing } from './stored-stacks.js';

/** Lists the threads of a process. */
interface ThreadLists {
  tids(): readonly number[];
  threads(): readonly Thread[];
}

/** The copies of all Go programs of a process, made in one stop. Usually there is one. */
export class Copies {
  readonly surveyed: Survey;
  /** In the order of the plans. */
  readonly #all: readonly Copy[];

  constructor(surveyed: Survey, plans: readonly Plan[], source: CopySource) {
    this.surveyed = surveyed;
    this.#all = plans.map((plan) => new Copy(plan, source));
  }

  /** As {@link Copy.prepare}, of each. */
  async prepare(packing: Packing): Promise<void> {
    for (const copy of this.#all) await copy.prepare(packing);
  }

  /** As {@link Copy.readAhead}, of each. */
  readAhead(): void {
    for (const copy of this.#all) copy.readAhead();
  }

  /** As {@link Copy.readStopped}, of each: returns the goroutines of all whose state is that of before the stop. */
  readStopped(threads: readonly ThreadPosition[], deadline = Infinity): Addr[] | null {
    let unchecked: Addr[] | null = null;
    for (const copy of this.#all) {
      const left = copy.readStopped(threads, deadline);
      if (left !== null) unchecked = [...(unchecked ?? []), ...left];
    }
    return unchecked?.sort((a, b) => a - b) ?? null;
  }

  /** As {@link Copy.readThread}, of each. */
  readThread(thread: ThreadPosition): void {
    for (const copy of this.#all) copy.readThread(thread);
  }

  /**
   * Copies each program without a stop, by itself: the shorter that takes, the less moves meanwhile. Returns the threads as they
   * were when the Ms were copied, and the torn goroutines, as {@link Copy.completeLive} does.
   */
  completeLive(process: ThreadLists): { threads: readonly Thread[]; torn: Addr[] } {
    const permitRest = forbidRest();
    try {
      return this.#completeLive(process);
    } finally {
      permitRest();
    }
  }

  #completeLive(process: ThreadLists): { threads: readonly Thread[]; torn: Addr[] } {
    let threads: readonly Thread[] = [];
    const before = new Set<number>();
    const withM = new Set<number>();
    const torn = this.#all.flatMap((copy, i) => {
      copy.readAhead();
      if (i === 0) for (const tid of process.tids()) before.add(tid);
      const machines = copy.copyMachines();
      for (const procid of machines.procids) withM.add(procid);
      threads = process.threads();
      return copy.completeLive(machines);
    });
    // One that began later has no M in the list, or not yet.
    const listed = threads.filter(({ tid, namespaceTid }) => before.has(tid) || withM.has(namespaceTid));
    return { threads: listed, torn: torn.sort((a, b) => a - b) };
  }

  /** As {@link Copy.lastRead}, of each; what was not read is read of `target`. */
  lastRead(target: CopySource): LastCopy[] {
    return this.#all.map((copy) => copy.lastRead(target.memory().source));
  }

  /** As {@link Copy.lists}, of all together. */
  get lists(): Lists {
    const lists = this.#all.map((copy) => copy.lists);
    return {
      areWhole: lists.every(({ areWhole }) => areWhole),
      fresh: lists.reduce((sum, { fresh }) => sum + fresh, 0),
    };
  }

  /** True if so much is new in the process that it should be planned again. */
  isOutgrown(): boolean {
    return this.#all.some((copy) => copy.isOutgrown());
  }

  /** Bytes that were read. */
  get sizeBytes(): number {
    return this.#all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** As {@link Copy.contents}, of each. */
  get contents(): readonly CopyContents[] {
    return this.#all.map((copy) => copy.contents);
  }
}

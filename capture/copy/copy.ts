import type { Addr } from '../../snapshots/address.js';
import { LayeredSource, Memory, onFault, type MemorySource, type Range, type Segment } from '../../snapshots/memory.js';
import { RangeList } from '../../snapshots/runs.js';
import type { GoProgram } from '../../analyze/program.js';
import type { M } from '../../analyze/runtime/machine.js';
import { threadStacks, type ThreadPosition } from '../../analyze/runtime/memory-ranges.js';
import { MovedWalk } from '../../analyze/runtime/moved-walk.js';
import type { CopiedParts } from '../../analyze/runtime/pointer-walk.js';
import { haveMany, nextMarked } from '../../analyze/runtime/stack-plan.js';
import type { RunReader } from '../process/run-reader.js';
import { Slab } from '../process/slab.js';
import type { SparseReader } from '../process/sparse-reader.js';
import { CopiedGoroutines, type LastCopy } from './copied-goroutines.js';
import { hasAllGoroutines, readLists } from './late-lists.js';
import { LateReads, type CopySource } from './late-reads.js';
import { CopiedRuns, OneStack, readWalk } from './late-walk.js';
import { copyMachines, type MachineList } from './machine-list.js';
import { hasNewModules, isOutgrown, type Plan } from './plan.js';
import { QueueCopy } from './queue-copy.js';
import { RunSource } from './run-source.js';
import { SparseSource } from './sparse-source.js';
import { lookAtRecords, markChanged } from './stack-batches.js';
import { StackKinds } from './stack-kinds.js';
import { StoredStacks, type Packing } from './stored-stacks.js';
import { ThreadStacks } from './thread-stacks.js';

/** What a look without a stop could see of the runtime's lists. */
export interface Lists {
  /** True if no part of them is missing. */
  readonly areWhole: boolean;
  /** Goroutines that the plan does not have. */
  readonly fresh: number;
}

/** What was read: by kind, and each but the stored stacks in ascending order. Of what is there twice, the first counts. */
export interface CopyContents {
  /** The records with everything that was read late. */
  readonly records: readonly Segment[];
  /** Runs of stacks that were read again. */
  readonly stacks: readonly Segment[];
  /** Stacks that were read ahead, and not again. */
  readonly stored: StoredStacks;
  /** The goroutines, of which `program` is over this copy. */
  readonly goroutinesOf: (program: GoProgram) => CopiedGoroutines;
  readonly queues: readonly Segment[];
}

/** New Ms that are read one by one in the stop before the process is planned again: each takes some microseconds. */
const MANY_NEW_MACHINES = 8;

/** If more than this part of the goroutines moved, all queues are read again in one go, since they are small. */
const MANY_MOVED = 1 / 64;

/**
 * A copy of what a plan names: read ahead while the program runs, and read again in the stop where it may have changed.
 * Everything that can be made before the stop is made in the constructor.
 */
export class Copy {
  readonly plan: Plan;
  readonly #source: CopySource;
  readonly #records: RunReader;
  /** Stacks that were read again, each as a whole run. */
  readonly #stacks: SparseReader;
  readonly #queues: QueueCopy;
  /** The buffer of the records. */
  readonly #view: DataView;
  readonly #recordSource: RunSource;
  readonly #stackSource: SparseSource;
  /** Stacks that were read ahead, and not again. */
  readonly #stored: StoredStacks;
  /** By index of a goroutine, 1 if it moved since the records were remembered. */
  readonly #moved: Uint8Array;
  /** By index of a goroutine, 1 if what it waits for or its labels may not be in the plan, whether or not it moved since. */
  readonly #uncovered: Uint8Array;
  /** By index of a run of stacks, 1 if it must be read again. */
  readonly #dirty: Uint8Array;
  /** Stacks in use that are not where they were planned. */
  readonly #elsewhere = new RangeList();
  readonly #walk: MovedWalk;
  #kinds: StackKinds | null = null;
  /** What is read late lies here. */
  readonly #slab = new Slab();
  #late: LateReads;
  /** The Ms as the last look found them, and by the ids of their threads once those of one are asked for. */
  #machines: readonly M[] = [];
  #byProcid: ReadonlyMap<number, M> | null = null;
  /** Goroutines that began after the plan was made, as the last look came upon them. */
  #born: Float64Array = new Float64Array(0);
  /** The stacks of threads that trapped after the copy: they take the place of what the copy has there. */
  readonly #lateStacks: ThreadStacks;
  #lists: Lists = { areWhole: false, fresh: 0 };
  /** True if the last stop had the time to read the stacks of all that moved. */
  #movedWasRead = false;

  constructor(plan: Plan, source: CopySource) {
    this.plan = plan;
    this.#source = source;
    this.#lateStacks = new ThreadStacks(source);
    this.#records = source.reader(plan.records);
    this.#stacks = source.sparseReader(plan.stacks);
    this.#queues = new QueueCopy(plan.queues, source);
    const { buffer, byteOffset, byteLength } = this.#records.bytes;
    this.#view = new DataView(buffer, byteOffset, byteLength);
    this.#recordSource = new RunSource(plan.records, this.#records.bytes);
    this.#stackSource = new SparseSource(plan.stacks, this.#stacks);
    this.#stored = new StoredStacks(plan.stackPlan, source);
    this.#moved = new Uint8Array(plan.stackPlan.goroutines.length);
    this.#uncovered = new Uint8Array(plan.stackPlan.goroutines.length);
    this.#dirty = new Uint8Array(plan.stacks.length);
    this.#walk = new MovedWalk(plan.program, plan.stackPlan.gs, plan.constants);
    this.#late = this.#newLateReads(null);
  }

  /**
   * Reads the stacks of all goroutines that are parked, and packs them: a large process takes seconds.
   * {@link readAhead} makes up for what moves meanwhile, and does this itself, without packing, if it was not done.
   */
  async prepare(packing: Packing): Promise<void> {
    const { stackPlan } = this.plan;
    this.#lookFirst();
    this.#queues.read();
    const stack = new OneStack();
    const copied = { records: this.#copiedWith(this.#late).records, stacks: stack };
    const kinds = (this.#kinds = new StackKinds(stackPlan, this.plan.program, this.#recordSource));
    await this.#stored.fillPacked(this.#view, this.#moved, packing, {
      // A packed stack is not at hand in the stop: what its goroutine waits for must be known.
      isWanted: (read) => {
        stack.set(read);
        return stackPlan.isCovered(read.owner, this.#view, copied, this.#walk);
      },
      look: (read) => kinds.add(read),
    });
  }

  /**
   * Reads while the program runs what the stop must look at: the records, the stacks of what moved since they were read, and
   * the records once more. Whatever moved between these two looks is read again in the stop in any case.
   */
  readAhead(): void {
    const { stackPlan } = this.plan;
    this.#movedWasRead = false;
    if (!this.#stored.isFilled) {
      this.#lookFirst();
      this.#stored.fill(this.#view, this.#moved);
    }
    this.#queues.planMore(this.#walk.kept);
    this.#slab.grow();
    this.#late = this.#newLateReads(null);
    this.#stored.drop(this.#moved);
    this.#readRecords();
    stackPlan.markUncounted(this.#view, this.#moved);
    this.#stored.drop(this.#moved);
    stackPlan.remember(this.#view);
    this.#stacks.forget();
    this.#dirty.fill(0);
    this.#elsewhere.clear();
    stackPlan.markStacks(this.#stored.dropped, this.#view, this.#dirty, this.#elsewhere);
    this.#stackSource.failed = this.#stacks.read(this.#dirty);
    this.#queues.read();
    this.#moved.fill(0);
    this.#uncovered.fill(0);
    stackPlan.markUncovered(this.#view, this.#copiedWith(this.#late), this.#walk, this.#uncovered);
    this.#readRecords();
    stackPlan.markUnplanned(this.#view, this.#moved);
    stackPlan.markOnThreads(this.#view, this.#moved);
    // What was covered at the first look is not what these have now.
    for (let i = this.#moved.indexOf(1); i >= 0; i = nextMarked(this.#moved, i)) this.#uncovered[i] = 1;
    this.#queues.grewOld();
    stackPlan.remember(this.#view);
  }

  /** Reads the records, and marks the goroutines whose stacks cannot be kept, wherever they are. */
  #lookFirst(): void {
    const { stackPlan } = this.plan;
    this.#recordSource.failed = this.#records.read();
    stackPlan.remember(this.#view);
    this.#moved.fill(0);
    stackPlan.compare(this.#view, this.#moved);
    stackPlan.markUncounted(this.#view, this.#moved);
  }

  /**
   * Reads in the stop what may have changed since {@link readAhead}. After `deadline` (of performance.now()) it reads only
   * the lists without which nothing else can be read, and returns the goroutines whose state is that of before the stop,
   * whether or not they moved since, or of which parts are missing. Returns null if it had the time for everything.
   */
  readStopped(threads: readonly ThreadPosition[], deadline = Infinity): Addr[] | null {
    const { stackPlan, records } = this.plan;
    this.#lateStacks.clear();
    this.#byProcid = null;
    this.#readRecords(deadline);
    stackPlan.markUncounted(this.#view, this.#moved);
    this.#dirty.fill(0);
    this.#elsewhere.clear();
    stackPlan.markStacks(this.#moved, this.#view, this.#dirty, this.#elsewhere);
    for (const run of this.#stackSource.failed) this.#dirty[run] = 1;
    const failed = this.#stacks.read(this.#dirty, deadline);
    const late = (this.#late = this.#newLateReads(null));
    if (performance.now() >= deadline) {
      this.#machines = readLists(late).machines;
      const { end } = this.#records;
      const unread = end < records.length ? stackPlan.goroutinesFrom(records.at(end).offset) : [];
      return [...new Set([...unread, ...this.#movedGoroutines()])].sort((a, b) => a - b);
    }
    this.#stackSource.failed = failed;
    this.#movedWasRead = true;
    if (haveMany(this.#moved, MANY_MOVED) || haveMany(this.#uncovered, MANY_MOVED)) this.#queues.read(deadline);
    const { machines, isWhole } = this.#complete(late, deadline);
    this.#readThreadStacks(late, machines, threads);
    return isWhole ? null : this.#movedGoroutines();
  }

  /**
   * Reads the stacks of a thread that trapped after {@link readStopped}, while it stands still: they are its own, and still
   * those of the moment when it was asked to stop, even if the others run on.
   */
  readThread(thread: ThreadPosition): void {
    this.#byProcid ??= new Map(this.#machines.map((machine) => [machine.procid, machine]));
    const own = this.#byProcid.get(thread.namespaceTid);
    if (own !== undefined) this.#lateStacks.read(threadStacks(this.#late.program, [own], [thread]));
  }

  /** The Ms as they are now, for {@link completeLive}: the threads should be listed right before and after this. */
  copyMachines(): MachineList {
    return copyMachines(this.plan.program, this.#source);
  }

  /**
   * Completes, without a stop, what {@link readAhead} read. Returns the goroutines that are torn: all but those of the plan
   * that stayed parked from the first look to the last one, after everything was read. Only of these it is certain that
   * their stacks were not another goroutine's meanwhile.
   */
  completeLive(machines = this.copyMachines()): Addr[] {
    const { plan } = this;
    const { stackPlan } = plan;
    const late = (this.#late = this.#newLateReads(machines.source));
    this.#elsewhere.clear();
    stackPlan.markStacks(this.#moved, this.#view, this.#dirty, this.#elsewhere);
    const { born, machines: listed } = this.#complete(late, Infinity);
    late.readMissing(threadStacks(late.program, listed, []));
    const areWhole = machines.isWhole && hasAllGoroutines(late.program) && !hasNewModules(plan.program, this.#source);
    this.#lists = { areWhole, fresh: born.length };
    const before = new Memory(new LayeredSource([this.#stackSource, this.#stored]));
    markChanged(stackPlan, this.#source, this.#view, before, this.#moved);
    lookAtRecords(this.#source, plan.records, (part, from, first) =>
      stackPlan.comparePart(part, this.#moved, first, from),
    );
    return [...this.#movedGoroutines(), ...(born as Iterable<number> as Iterable<Addr>)].sort((a, b) => a - b);
  }

  /**
   * The program as it was read last: its records, and the stacks that are at hand. What was not read is in `rest`. It shows what
   * is read later, too.
   */
  lastRead(rest: MemorySource): LastCopy {
    this.#dropMoved();
    // The stored stacks come first, since nearly all are there: a window of a lower layer has to be cut to what the others lack.
    const memory = new Memory(new LayeredSource([this.#stored.plain, this.#recordSource, this.#stackSource, rest]));
    const program = this.plan.program.over({ memory });
    const whereabouts = this.plan.stackPlan.whereabouts(this.#view);
    return { program, goroutines: this.#goroutinesOf(program), whereabouts, born: this.#born };
  }

  #goroutinesOf(program: GoProgram): CopiedGoroutines {
    const { stackPlan } = this.plan;
    const { elemTypes } = this.#walk;
    const read = { records: this.#recordSource, stored: this.#stored, kinds: this.#kinds };
    return new CopiedGoroutines(program, { stackPlan, elemTypes, ...read });
  }

  /** What {@link completeLive} could see of the runtime's lists. */
  get lists(): Lists {
    return this.#lists;
  }

  /** True if so much is new in the process that it should be planned again. */
  isOutgrown(): boolean {
    const { program, stackPlan, records } = this.plan;
    if (hasNewModules(program, this.#source)) return true;
    const now = program.over({ memory: this.#source.memory() });
    const count = onFault(
      () => now.memory.word(now.globals.allgs, 8),
      () => 0,
    );
    if (isOutgrown(count - stackPlan.goroutines.length, stackPlan.goroutines.length)) return true;
    const { sizeBytes } = program.layouts.of('m');
    const { addresses } = this.copyMachines();
    return addresses.filter((m) => records.offsetOf(m, sizeBytes) < 0).length > MANY_NEW_MACHINES;
  }

  /** Goroutines whose stacks were read before the stop and not again. */
  get keptAhead(): number {
    return this.#moved.length - this.#movedGoroutines().length;
  }

  /** Bytes that were read. */
  get sizeBytes(): number {
    const planned = this.#records.bytes.length + this.#queues.sizeBytes;
    const stacks = this.#stored.sizeBytes + this.#stacks.sizeBytes;
    return planned + stacks + this.#late.sizeBytes + this.#lateStacks.sizeBytes;
  }

  /** What was read. */
  get contents(): CopyContents {
    this.#dropMoved();
    return {
      records: [
        ...this.#late.instead(),
        ...this.#lateStacks.segments,
        ...this.#recordSource.segments(),
        ...this.#late.segments(this.#walk.needed),
      ],
      stacks: this.#stackSource.segments(),
      stored: this.#stored,
      goroutinesOf: (program) => this.#goroutinesOf(program),
      queues: this.#queues.source.segments(),
    };
  }

  /** Drops the stored stacks of goroutines of which the last stop has read newer ones. */
  #dropMoved(): void {
    if (this.#movedWasRead) this.#stored.drop(this.#moved);
  }

  /** Reads the records, and marks the goroutines that moved since they were remembered. */
  #readRecords(deadline = Infinity): void {
    const { stackPlan } = this.plan;
    let next = 0;
    this.#recordSource.failed = this.#records.read(deadline, (end) => {
      next = stackPlan.compare(this.#view, this.#moved, next, end, this.#walk);
    });
  }

  /** True if a range is wholly within planned stacks that the last {@link readStopped} has read. */
  #wasReadAgain({ lo, hi }: Range): boolean {
    return this.#dirty[this.plan.stacks.indexOf(lo)] === 1 && this.#stackSource.has(lo, hi);
  }

  /**
   * Reads what the plan did not foresee: new goroutines, new Ms, moved stacks, and all that goroutines that moved wait for or
   * point to. Returns the new goroutines, all Ms, and false if `deadline` came before everything was read.
   */
  #complete(late: LateReads, deadline: number): { born: Float64Array; machines: readonly M[]; isWhole: boolean } {
    const { stackPlan, program } = this.plan;
    const { born, machines } = readLists(late);
    this.#born = born;
    this.#machines = machines;
    const { sizeBytes } = program.goroutineReader;
    for (const g of born) {
      const offset = late.batches.find(g, sizeBytes);
      if (offset >= 0) stackPlan.addStack(late.batches.view, offset, this.#elsewhere);
    }
    late.read(this.#elsewhere);
    stackPlan.markThese(
      machines.map(({ curg }) => curg),
      this.#moved,
    );
    const copied = this.#copiedWith(late);
    const walk = this.#walk;
    walk.begin(this.#moved.length + born.length);
    stackPlan.addMarked(this.#moved, this.#uncovered, this.#view, copied, walk, this.#queues.areFresh);
    for (const g of born) {
      const offset = late.batches.find(g, sizeBytes);
      if (offset >= 0) walk.add(copied, late.batches.view, offset, g);
    }
    return { born, machines, isWhole: readWalk(late, walk, copied, deadline) };
  }

  /** Reads the stacks that threads use, but for those that were just read. */
  #readThreadStacks(late: LateReads, machines: readonly M[], threads: readonly ThreadPosition[]): void {
    const missing = late.missing(threadStacks(late.program, machines, threads));
    late.read(missing.filter((range) => !this.#wasReadAgain(range)));
  }

  /** The planned runs that were just read, and what was read late. */
  #copiedWith({ batches }: LateReads): CopiedParts {
    const [records, { source, areFresh }] = [this.#recordSource, this.#queues];
    return {
      records: new CopiedRuns(areFresh ? [source, records] : [records], batches),
      stacks: new CopiedRuns([this.#stackSource, this.#stored], batches),
    };
  }

  #newLateReads(instead: RunSource | null): LateReads {
    this.#slab.rewind();
    return new LateReads(this.plan, this.#source, this.#recordSource, instead, this.#slab);
  }

  #movedGoroutines(): Addr[] {
    const { goroutines } = this.plan.stackPlan;
    const out: Addr[] = [];
    for (let i = this.#moved.indexOf(1); i >= 0; i = nextMarked(this.#moved, i)) out.push((goroutines[i] ?? 0) as Addr);
    return out;
  }
}

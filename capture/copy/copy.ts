import { plus, type Addr } from '../../snapshots/address.js';
import {
  LayeredSource,
  Memory,
  SegmentSource,
  type MemorySource,
  type Range,
  type Segment,
  type Window,
} from '../../snapshots/memory.js';
import { recordingMemory } from '../../snapshots/recording.js';
import { Runs } from '../../snapshots/runs.js';
import { machineRanges, readable, threadStacks, type StoppedThread } from '../../analyze/runtime/memory-ranges.js';
import type { GoProgram } from '../../analyze/program.js';
import { readMachines, type M } from '../../analyze/runtime/machine.js';
import { exerciseLabels } from '../../analyze/working-set.js';
import { marked, stackToRead } from '../../analyze/runtime/stack-plan.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { WaitReader } from '../../analyze/runtime/wait-records.js';
import type { Plan } from './plan.js';
import type { LiveProcess } from '../process/live-process.js';
import type { RunReader } from '../process/run-reader.js';

/** Label sets that are followed in the stop: each costs some small reads. */
const MAX_LATE_LABELS = 512;
/** Where more than this part of the goroutines moved, all queues are read again in one go: they are small. */
const MANY_RESTLESS = 1 / 64;
/** A select with so many cases is followed to its end in the stop. */
const MAX_QUEUE_ROUNDS = 64;
/** Rounds of late reads: a new M may have been linked to a new M. */
const MAX_ROUNDS = 16;

/** A process or a clone of it, running or not. */
export type CopySource = Pick<LiveProcess, 'memory' | 'reader'>;

/**
 * The copy of what a plan names: read ahead while the program runs, and read again in the stop where it may have
 * changed. Everything that can be made ahead is made in the constructor.
 */
export class Copy {
  readonly plan: Plan;
  readonly #source: CopySource;
  readonly #records: RunReader;
  readonly #stacks: RunReader;
  readonly #queues: RunReader;
  readonly #view: DataView;
  readonly #restless: Uint8Array;
  readonly #dirty: Uint8Array;
  readonly #known: RunSource;
  #late = new LateSource();
  #stacksFailed: readonly number[] = [];
  #queuesFailed: readonly number[] = [];
  /** True where all queues were read since the last goroutine moved. */
  #queuesAreFresh = false;
  /** Label sets that were new when the copy was made ahead. */
  #labels: readonly Addr[] = [];

  constructor(plan: Plan, source: CopySource) {
    this.plan = plan;
    this.#source = source;
    this.#records = source.reader(plan.records);
    this.#stacks = source.reader(plan.stacks);
    this.#queues = source.reader(plan.queues);
    this.#view = viewOf(this.#records.bytes);
    this.#restless = new Uint8Array(plan.stackPlan.goroutines.length);
    this.#dirty = new Uint8Array(plan.stacks.length);
    this.#known = new RunSource(plan.records, this.#view);
  }

  /**
   * Reads everything while the program runs: the records, the stacks, and the records once more. Goroutines that moved
   * in between are restless: their stacks cannot be kept.
   */
  readAhead(): void {
    const { stackPlan } = this.plan;
    this.#restless.fill(0);
    this.#records.read();
    stackPlan.remember(this.#view);
    this.#stacksFailed = this.#stacks.read();
    this.#readQueues();
    this.#compareRecords();
    stackPlan.markUnplanned(this.#view, this.#restless);
    this.#queuesAreFresh = false;
    stackPlan.remember(this.#view);
    this.#labels = stackPlan.newLabels(this.#view, null);
  }

  /**
   * Reads in the stop what may have changed since {@link readAhead}. Past `deadline`, of performance.now(), only what the
   * rest cannot be read without: then the goroutines are answered that are as they were ahead of the stop, whether or not
   * they have moved since; else null.
   */
  readStopped(threads: readonly StoppedThread[], deadline = Infinity): Addr[] | null {
    const { stackPlan, records } = this.plan;
    this.#compareRecords(deadline);
    this.#dirty.fill(0);
    const elsewhere = stackPlan.stacksOf(this.#restless, this.#view, this.#dirty);
    for (const run of this.#stacksFailed) this.#dirty[run] = 1;
    const failed = this.#stacks.readSome(this.#dirty, deadline);
    if (performance.now() >= deadline) {
      this.#completeLists();
      const { end } = this.#records;
      const unread = end < records.length ? stackPlan.from(records.at(end).offset) : [];
      return [...new Set([...unread, ...this.#restlessGoroutines()])].sort((a, b) => a - b);
    }
    this.#stacksFailed = failed;
    if (this.#areManyRestless()) this.#readQueues();
    this.#complete(elsewhere, threads);
    return null;
  }

  /** Reads the records, and marks those goroutines as restless that have moved since they were remembered. */
  #compareRecords(deadline = Infinity): void {
    const { stackPlan } = this.plan;
    let next = 0;
    this.#known.failed = this.#records.read(deadline, (end) => {
      next = stackPlan.compare(this.#view, this.#restless, next, end);
    });
    stackPlan.compareTicks(this.#view, this.#restless);
  }

  /** Completes what {@link readAhead} read, without a stop. Answers the goroutines that moved while it did: torn ones. */
  completeLive(): Addr[] {
    const { stackPlan } = this.plan;
    this.#complete(stackPlan.stacksOf(this.#restless, this.#view, this.#dirty), []);
    return this.#restlessGoroutines();
  }

  /** What the plan did not foresee: new goroutines, new Ms, moved stacks, new labels, the stacks that threads stand on. */
  #complete(elsewhere: readonly Range[], threads: readonly StoppedThread[]): void {
    const { stackPlan } = this.plan;
    const { program, born, machines } = this.#completeLists();
    this.#readLate([
      ...elsewhere,
      ...born.flatMap((g) => stackToRead(g) ?? []),
      ...this.#unplanned(threadStacks(program, machines, threads)),
    ]);
    const moved = this.#restlessGoroutines().flatMap((g) => readable(program, g) ?? []);
    this.#readWaits([...moved, ...born]);
    const labels = [...this.#labels, ...stackPlan.newLabels(this.#view, this.#restless)];
    this.#readLabels([...labels, ...born.map((g) => g.labels)]);
  }

  /** The goroutines and Ms that the plan does not have; without them the lists would lead nowhere. */
  #completeLists(): { program: GoProgram; born: readonly G[]; machines: readonly M[] } {
    this.#late = new LateSource();
    const program = this.plan.program.over({ memory: new Memory(new LayeredSource([this.#known, this.#late])) });
    const born = this.#newGoroutines(program).flatMap((g) => readable(program, g) ?? []);
    return { program, born, machines: this.#machines(program) };
  }

  #restlessGoroutines(): Addr[] {
    const { goroutines } = this.plan.stackPlan;
    return [...marked(this.#restless)].map((i) => (goroutines[i] ?? 0) as Addr);
  }

  #areManyRestless(): boolean {
    const many = MANY_RESTLESS * this.#restless.length;
    const restless = this.#restless;
    let seen = 0;
    for (let i = restless.indexOf(1); i >= 0; i = restless.indexOf(1, i + 1)) if (++seen > many) return true;
    return false;
  }

  #readQueues(): void {
    this.#queuesFailed = this.#queues.read();
    this.#queuesAreFresh = true;
  }

  /** What goroutines wait for that were not where the plan has them: what is known says where to read next. */
  #readWaits(goroutines: readonly G[]): void {
    const stacks = runSource(this.plan.stacks, this.#stacks, this.#stacksFailed);
    const queues = this.#queuesAreFresh ? [runSource(this.plan.queues, this.#queues, this.#queuesFailed)] : [];
    const source = new LayeredSource([this.#known, this.#late, ...queues, stacks]);
    const isUnread = ({ lo, hi }: Range): boolean => !queues.some((known) => known.has(lo, hi));
    let left = goroutines;
    for (let round = 0; left.length > 0; round++) {
      const waits = new WaitReader(this.plan.program.over({ memory: new Memory(source) }));
      const unknown = this.#unplanned(left.flatMap((g) => waits.unknownOf(g)));
      if (round === MAX_QUEUE_ROUNDS || unknown.length === 0) {
        const found = goroutines.flatMap((g) => waits.waitsFor(g) ?? []);
        const ranges = found.flatMap((wait) => [...waits.queuesOf(wait), ...waits.wordsOf(wait)]);
        this.#readLate(this.#unplanned(ranges.filter(isUnread)));
        return;
      }
      this.#readLate(unknown);
      left = left.filter((g) => waits.unknownOf(g).length > 0);
    }
  }

  /** Goroutines whose stacks were read ahead of the stop and not again. */
  get keptAhead(): number {
    return this.#restless.length - this.#restlessGoroutines().length;
  }

  /** Bytes that were read. */
  get sizeBytes(): number {
    const planned = [this.#records, this.#stacks, this.#queues].reduce((n, { bytes }) => n + bytes.length, 0);
    return planned + this.#late.sizeBytes;
  }

  /** What was read: the records, with all that was read late, and the planned stacks and queues in ascending order. */
  get segments(): Readonly<Record<'records' | 'stacks' | 'queues', readonly Segment[]>> {
    const stacks = runSource(this.plan.stacks, this.#stacks, this.#stacksFailed);
    const queues = runSource(this.plan.queues, this.#queues, this.#queuesFailed);
    const records = [...this.#known.segments(), ...this.#late.segments()];
    return { records, stacks: stacks.segments(), queues: queues.segments() };
  }

  /** runtime.allgs grows at its end, and moves when it is full; its elements never change. */
  #newGoroutines({ globals, goroutineReader, memory }: GoProgram): Addr[] {
    const planned = this.plan.stackPlan.goroutines.length;
    const [list, length] = [memory.ptr(globals.allgs), memory.word(globals.allgs, 8)];
    if (length === planned && memory.has(list, 8 * length)) return [];
    this.#readLate([{ lo: list, hi: plus(list, 8 * length) }]);
    const fresh: Addr[] = [];
    for (let i = planned; i < length; i++) fresh.push(memory.ptr(list, 8 * i));
    this.#readLate(fresh.map((g) => ({ lo: g, hi: plus(g, goroutineReader.sizeBytes) })));
    return fresh;
  }

  /** All Ms. New ones are put at the head of the list, and each names the one before it. */
  #machines(program: GoProgram): readonly M[] {
    const { globals, layouts, memory } = program;
    const size = layouts.of('m').sizeBytes;
    for (let round = 0; ; round++) {
      const { machines } = readMachines(memory, layouts, globals);
      const last = machines.at(-1);
      const next = last === undefined ? memory.ptr(globals.allm) : memory.ptr(last.addr, globals.alllink);
      if (round === MAX_ROUNDS || next === 0 || memory.has(next, size)) {
        this.#readLate(this.#unplanned(machines.flatMap((m) => machineRanges(program, m))));
        return machines;
      }
      this.#readLate([{ lo: next, hi: plus(next, size) }]);
    }
  }

  /** Label sets made since are read through the analysis, which notes where they lie. */
  #readLabels(sets: readonly Addr[]): void {
    const unknown = sets.filter((set) => set !== 0 && !this.plan.stackPlan.labels.has(set)).slice(0, MAX_LATE_LABELS);
    if (unknown.length === 0) return;
    const { memory, recording } = recordingMemory(this.#source.memory());
    exerciseLabels(this.plan.program.over({ memory }), unknown);
    this.#readLate(recording.recorded());
  }

  #unplanned(ranges: readonly Range[]): Range[] {
    const { records } = this.plan;
    return ranges.filter(({ lo, hi }) => records.offsetOf(lo, hi - lo) < 0 && !this.#late.has(lo, hi));
  }

  #readLate(ranges: readonly Range[]): void {
    if (ranges.length === 0) return;
    const runs = new Runs(ranges, 0);
    const reader = this.#source.reader(runs);
    const failed = reader.read();
    this.#late.add(runSource(runs, reader, failed));
  }
}

function runSource(runs: Runs, reader: RunReader, failed: readonly number[]): RunSource {
  const source = new RunSource(runs, viewOf(reader.bytes));
  source.failed = failed;
  return source;
}

/** What was not planned, as it was read piece by piece; what was read last wins. */
class LateSource implements MemorySource {
  readonly #batches: RunSource[] = [];

  add(batch: RunSource): void {
    this.#batches.unshift(batch);
  }

  has(lo: number, hi: number): boolean {
    return this.#batches.some((batch) => batch.has(lo, hi));
  }

  window(at: number): Window | null {
    for (const batch of this.#batches) {
      const window = batch.window(at);
      if (window !== null) return window;
    }
    return null;
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return new SegmentSource(this.segments()).ranges(lo, hi);
  }

  segments(): Segment[] {
    return this.#batches.flatMap((batch) => batch.segments());
  }

  get sizeBytes(): number {
    return this.#batches.reduce((n, batch) => n + batch.sizeBytes, 0);
  }
}

/** Runs that lie in one buffer, as memory. */
export class RunSource implements MemorySource {
  /** Indices of runs that could not be read: absent, not zero. */
  failed: readonly number[] = [];
  readonly #runs: Runs;
  readonly #view: DataView;

  constructor(runs: Runs, view: DataView) {
    this.#runs = runs;
    this.#view = view;
  }

  get sizeBytes(): number {
    return this.#view.byteLength;
  }

  has(lo: number, hi: number): boolean {
    return this.#runs.offsetOf(lo, hi - lo) >= 0 && !this.failed.includes(this.#runs.indexOf(lo));
  }

  window(addr: number): Window | null {
    const index = this.#runs.indexOf(addr);
    if (index < 0 || this.failed.includes(index)) return null;
    const { lo, hi, offset } = this.#runs.at(index);
    const { buffer, byteOffset } = this.#view;
    return { lo, hi, view: new DataView(buffer, byteOffset + offset, hi - lo) };
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (let i = 0; i < this.#runs.length; i++) {
      const run = this.#runs.at(i);
      if (run.lo < hi && run.hi > lo && !this.failed.includes(i)) {
        yield { lo: Math.max(lo, run.lo) as Addr, hi: Math.min(hi, run.hi) as Addr };
      }
    }
  }

  segments(): Segment[] {
    const out: Segment[] = [];
    for (let i = 0; i < this.#runs.length; i++) {
      const { lo, hi, offset } = this.#runs.at(i);
      const { buffer, byteOffset } = this.#view;
      if (!this.failed.includes(i)) out.push({ addr: lo, bytes: new Uint8Array(buffer, byteOffset + offset, hi - lo) });
    }
    return out;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

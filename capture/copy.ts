import { plus, type Addr } from '../snapshots/address.js';
import {
  LayeredSource,
  Memory,
  SegmentSource,
  type MemorySource,
  type Range,
  type Segment,
  type Window,
} from '../snapshots/memory.js';
import { recordingMemory } from '../snapshots/recording.js';
import { Runs } from '../snapshots/runs.js';
import { machineRecords, readable, threadStacks, type StoppedThread } from '../analyze/runtime/extents.js';
import type { GoProgram } from '../analyze/program.js';
import { readMachines, type M } from '../analyze/runtime/machine.js';
import { exerciseLabels } from '../analyze/exercise.js';
import { stackToRead } from '../analyze/runtime/stack-plan.js';
import { withMemory, type Plan } from './plan.js';
import type { LiveProcess } from './process.js';
import type { RunReader } from './run-reader.js';

/** Label sets that are followed in the stop: each costs some small reads. */
const MAX_LATE_LABELS = 512;
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
  readonly #view: DataView;
  readonly #before: Uint8Array;
  readonly #beforeView: DataView;
  readonly #restless: Uint8Array;
  readonly #dirty: Uint8Array;
  readonly #known: RunSource;
  #late = new LateSource();
  #stacksFailed: readonly number[] = [];

  constructor(plan: Plan, source: CopySource) {
    this.plan = plan;
    this.#source = source;
    this.#records = source.reader(plan.records);
    this.#stacks = source.reader(plan.stacks);
    this.#view = viewOf(this.#records.bytes);
    this.#before = new Uint8Array(this.#records.bytes.length);
    this.#beforeView = viewOf(this.#before);
    this.#restless = new Uint8Array(plan.stackPlan.goroutines.length);
    this.#dirty = new Uint8Array(plan.stacks.length);
    this.#known = new RunSource(plan.records, this.#view);
  }

  /**
   * Reads everything while the program runs: the records, the stacks, and the records once more. Goroutines that moved
   * in between are restless: their stacks cannot be kept.
   */
  readAhead(): void {
    this.#restless.fill(0);
    this.#records.read();
    this.#before.set(this.#records.bytes);
    this.#stacksFailed = this.#stacks.read();
    this.#known.failed = this.#records.read();
    this.#dirty.fill(0);
    this.plan.stackPlan.moved(this.#beforeView, this.#view, this.#restless, this.#dirty);
    this.plan.stackPlan.markUnplanned(this.#view, this.#restless);
    this.#before.set(this.#records.bytes);
  }

  /** Reads in the stop what may have changed since {@link readAhead}. */
  readStopped(threads: readonly StoppedThread[]): void {
    this.#known.failed = this.#records.read();
    this.#dirty.fill(0);
    const elsewhere = this.plan.stackPlan.moved(this.#beforeView, this.#view, this.#restless, this.#dirty);
    for (const run of this.#stacksFailed) this.#dirty[run] = 1;
    this.#stacksFailed = this.#stacks.readSome(this.#dirty);
    this.#complete(elsewhere, threads);
  }

  /** Completes what {@link readAhead} read, without a stop. Answers the goroutines that moved while it did: torn ones. */
  completeLive(): Addr[] {
    const elsewhere = this.plan.stackPlan.moved(this.#beforeView, this.#view, this.#restless, this.#dirty);
    this.#complete(elsewhere, []);
    const { goroutines } = this.plan.stackPlan;
    return [...goroutines].filter((_, i) => this.#restless[i] === 1) as Addr[];
  }

  /** What the plan did not foresee: new goroutines, new Ms, moved stacks, new labels, the stacks that threads stand on. */
  #complete(elsewhere: readonly Range[], threads: readonly StoppedThread[]): void {
    this.#late = new LateSource();
    const memory = new Memory(new LayeredSource([this.#known, this.#late]));
    const program = withMemory(this.plan.program, memory);
    const { stackPlan } = this.plan;
    const born = this.#newGoroutines(program).flatMap((g) => readable(program, g) ?? []);
    const machines = this.#machines(program);
    this.#readLate([
      ...elsewhere,
      ...born.flatMap((g) => stackToRead(g) ?? []),
      ...this.#unplanned(threadStacks(program, machines, threads)),
    ]);
    this.#readLabels([...stackPlan.newLabels(this.#view), ...born.map(({ labels }) => labels)]);
  }

  /** Bytes that were read. */
  get sizeBytes(): number {
    const late = this.#late.segments.reduce((n, { bytes }) => n + bytes.length, 0);
    return this.#records.bytes.length + this.#stacks.bytes.length + late;
  }

  /** What was read: the records, with all that was read late, and the planned stacks in ascending order. */
  get segments(): { readonly records: readonly Segment[]; readonly stacks: readonly Segment[] } {
    const stacks = new RunSource(this.plan.stacks, viewOf(this.#stacks.bytes));
    stacks.failed = this.#stacksFailed;
    return { records: [...this.#known.segments(), ...this.#late.segments], stacks: stacks.segments() };
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
        this.#readLate(this.#unplanned(machines.flatMap((m) => machineRecords(program, m))));
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
    exerciseLabels(withMemory(this.plan.program, memory), unknown);
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
    const failed = new Set(reader.read());
    for (let i = 0; i < runs.length; i++) {
      const { lo, hi, offset } = runs.at(i);
      if (!failed.has(i))
        this.#late.segments.push({ addr: lo, bytes: reader.bytes.subarray(offset, offset + hi - lo) });
    }
  }
}

/** The few pieces that were not planned, in the order in which they were read. */
class LateSource implements MemorySource {
  readonly segments: Segment[] = [];

  has(lo: number, hi: number): boolean {
    return this.segments.some(({ addr, bytes }) => addr <= lo && addr + bytes.length >= hi);
  }

  window(at: number): Window | null {
    const segment = this.segments.findLast(({ addr, bytes }) => at >= addr && at < addr + bytes.length);
    if (segment === undefined) return null;
    return { lo: segment.addr, hi: segment.addr + segment.bytes.length, view: viewOf(segment.bytes) };
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return new SegmentSource(this.segments).ranges(lo, hi);
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

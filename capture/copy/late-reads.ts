import { alignDown, plus } from '../../snapshots/address.js';
import { LayeredSource, Memory, type Range, type Segment } from '../../snapshots/memory.js';
import { RangeList, Runs } from '../../snapshots/runs.js';
import type { GoProgram } from '../../analyze/program.js';
import type { LiveProcess } from '../process/live-process.js';
import { PAGE_BYTES } from '../process/process-memory.js';
import type { Slab } from '../process/slab.js';
import { LateSource } from './late-source.js';
import { MAX_QUEUE_GAP, type Plan } from './plan.js';
import { RunSource } from './run-source.js';

/** Where memory is copied from: a process, or a clone of one. */
export type CopySource = Pick<LiveProcess, 'memory' | 'reader' | 'sparseReader' | 'bytesNow' | 'readInto' | 'rest'>;

/** What one completion of a copy reads beside the plan: the reads themselves, and the program as they show it. */
export class LateReads {
  readonly plan: Plan;
  readonly source: CopySource;
  /** The program over the planned records and what was read late. */
  readonly program: GoProgram;
  /** What was read late. */
  readonly batches = new LateSource();
  /** What takes the place of records. */
  readonly #instead: RunSource | null;
  readonly #slab: Slab;
  readonly #walked = new Set<RunSource>();

  /**
   * `records` are the planned records as they were read, and `instead` what is known better of some of them. What is read
   * lies in `slab`.
   */
  constructor(plan: Plan, source: CopySource, records: RunSource, instead: RunSource | null, slab: Slab) {
    this.plan = plan;
    this.source = source;
    this.#instead = instead;
    this.#slab = slab;
    const memory = new LayeredSource(instead === null ? [records, this.batches] : [instead, records, this.batches]);
    this.program = plan.program.over({ memory: new Memory(memory) });
  }

  /**
   * Reads ranges, even those that were read before. Ranges that are no further apart than `maxGap` bytes are read with what
   * lies between them. What cannot be read stays absent.
   */
  read(ranges: Iterable<Range>, maxGap = 0): void {
    const batch = this.#readBatch(new Runs(ranges, maxGap));
    if (batch !== null) this.add(batch);
  }

  /**
   * Reads what a walk misses. {@link segments} has what the walk needs of it. A word that only looks like a pointer may lead to
   * where memory ends: it takes nothing with it that lies beside.
   */
  readForWalk(missing: RangeList): void {
    const runs = new Runs(missing, MAX_QUEUE_GAP);
    const failed = this.#readWalked(runs)?.failed ?? [];
    if (failed.length > 0) this.#readWalked(new Runs(this.#readable(runs, failed), 0));
  }

  #readWalked(runs: Runs): RunSource | null {
    const batch = this.#readBatch(runs);
    if (batch === null) return null;
    this.add(batch);
    this.#walked.add(batch);
    return batch;
  }

  #readBatch(runs: Runs): RunSource | null {
    if (runs.length === 0) return null;
    const reader = this.source.reader(runs, this.#slab);
    const failed = reader.read();
    return new RunSource(runs, reader.bytes, failed);
  }

  /** The parts of runs that lie in pages which can be read, if the runs have several pages. */
  #readable(runs: Runs, failed: readonly number[]): RangeList {
    const out = new RangeList();
    for (const run of failed) {
      const { lo, hi } = runs.at(run);
      if (alignDown(lo, PAGE_BYTES) === alignDown(plus(hi, -1), PAGE_BYTES)) continue;
      const room = this.#slab.take(hi - lo);
      for (let at = lo; at < hi;) {
        const end = plus(at, this.source.readInto(at, room, 0, hi - at));
        out.addAll(runs.parts(at, end));
        at = plus(alignDown(end, PAGE_BYTES), PAGE_BYTES);
      }
    }
    return out;
  }

  /** Adds what was read in another way. */
  add(batch: RunSource): void {
    if (batch.sizeBytes > 0) this.batches.add(batch);
  }

  /** Reads those of the ranges that are neither among the planned records nor read late already. */
  readMissing(ranges: readonly Range[]): void {
    this.read(this.missing(ranges));
  }

  missing(ranges: readonly Range[]): Range[] {
    const { records } = this.plan;
    return ranges.filter(
      ({ lo, hi }) =>
        records.offsetOf(lo, hi - lo) < 0 && !this.batches.has(lo, hi) && this.#instead?.has(lo, hi) !== true,
    );
  }

  /** What takes the place of records. */
  instead(): Segment[] {
    return this.#instead?.segments() ?? [];
  }

  /** The last that was read first. `needed` is what a walk needs: of what was read for it, only that. */
  segments(needed: RangeList): Segment[] {
    const parts = new Runs(needed, 0);
    return this.batches.all.flatMap((batch) => batch.segments(this.#walked.has(batch) ? parts : undefined));
  }

  get sizeBytes(): number {
    return this.batches.sizeBytes + (this.#instead?.sizeBytes ?? 0);
  }
}

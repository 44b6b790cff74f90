import { LayeredSource, Memory, type Range, type Segment } from '../../snapshots/memory.js';
import { Runs, type RangeList } from '../../snapshots/runs.js';
import type { GoProgram } from '../../analyze/program.js';
import type { LiveProcess } from '../process/live-process.js';
import type { Slab } from '../process/slab.js';
import { LateSource } from './late-source.js';
import { MAX_QUEUE_GAP, type Plan } from './plan.js';
import { RunSource } from './run-source.js';

/** Where memory is copied from: a process, or a clone of one. */
export type CopySource = Pick<LiveProcess, 'memory' | 'reader' | 'sparseReader' | 'bytesNow' | 'readInto'>;

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
    const batch = this.#readBatch(ranges, maxGap);
    if (batch !== null) this.add(batch);
  }

  /** Reads what a walk misses. {@link segments} has what the walk needs of it. */
  readForWalk(missing: RangeList): void {
    const batch = this.#readBatch(missing, MAX_QUEUE_GAP);
    if (batch === null) return;
    this.add(batch);
    this.#walked.add(batch);
  }

  #readBatch(ranges: Iterable<Range>, maxGap: number): RunSource | null {
    const runs = new Runs(ranges, maxGap);
    if (runs.length === 0) return null;
    const reader = this.source.reader(runs, this.#slab);
    const failed = reader.read();
    return new RunSource(runs, reader.bytes, failed);
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

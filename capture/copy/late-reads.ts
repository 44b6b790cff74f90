import { LayeredSource, Memory, type Range, type Segment } from '../../snapshots/memory.js';
import { recordingMemory } from '../../snapshots/recording.js';
import { Runs } from '../../snapshots/runs.js';
import type { Addr } from '../../snapshots/address.js';
import type { GoProgram } from '../../analyze/program.js';
import type { PointerField } from '../../analyze/analysis.js';
import { readPointed } from '../../analyze/working-set.js';
import type { LiveProcess } from '../process/live-process.js';
import { LateSource } from './late-source.js';
import type { Plan } from './plan.js';
import { RunSource } from './run-source.js';

/** New label sets, or lists of ancestors, that are read: each takes some small reads. */
const MAX_POINTED = 512;

/** Where memory is copied from: a process, or a clone of one. */
export type CopySource = Pick<LiveProcess, 'memory' | 'reader' | 'bytesNow'>;

/** What one completion of a copy reads beside the plan: the reads themselves, and the program as they show it. */
export class LateReads {
  readonly plan: Plan;
  readonly source: CopySource;
  /** The planned records, and what was read late. */
  readonly memory: LayeredSource;
  /** The program over {@link memory}. */
  readonly program: GoProgram;
  readonly #late = new LateSource();
  /** What takes the place of records. */
  readonly #instead: RunSource | null;

  /** `records` are the planned records as they were read, and `instead` what is known better of some of them. */
  constructor(plan: Plan, source: CopySource, records: RunSource, instead: RunSource | null) {
    this.plan = plan;
    this.source = source;
    this.#instead = instead;
    this.memory = new LayeredSource(instead === null ? [records, this.#late] : [instead, records, this.#late]);
    this.program = plan.program.over({ memory: new Memory(this.memory) });
  }

  /** Reads ranges, even those that were read before. What cannot be read stays absent. */
  read(ranges: readonly Range[]): void {
    if (ranges.length === 0) return;
    const runs = new Runs(ranges, 0);
    const reader = this.source.reader(runs);
    const failed = reader.read();
    this.add(new RunSource(runs, reader.bytes, failed));
  }

  /** Adds what was read in another way. */
  add(batch: RunSource): void {
    if (batch.sizeBytes > 0) this.#late.add(batch);
  }

  /** Reads those of the ranges that are neither among the planned records nor read late already. */
  readMissing(ranges: readonly Range[]): void {
    this.read(this.missing(ranges));
  }

  missing(ranges: readonly Range[]): Range[] {
    const { records } = this.plan;
    return ranges.filter(
      ({ lo, hi }) =>
        records.offsetOf(lo, hi - lo) < 0 && !this.#late.has(lo, hi) && this.#instead?.has(lo, hi) !== true,
    );
  }

  /**
   * Reads what a field of goroutines points to, as far as the plan does not have it, up to {@link MAX_POINTED}. Where the
   * parts of it are, reading them shows.
   */
  readPointed(field: PointerField, addresses: readonly Addr[]): void {
    const { stackPlan, program } = this.plan;
    const unknown = addresses.filter((at) => at !== 0 && !stackPlan[field].has(at)).slice(0, MAX_POINTED);
    if (unknown.length === 0) return;
    const { memory, recording } = recordingMemory(this.source.memory());
    readPointed(program.over({ memory }), field, unknown);
    this.read(recording.recorded());
  }

  /** What takes the place of records. */
  instead(): Segment[] {
    return this.#instead?.segments() ?? [];
  }

  segments(): Segment[] {
    return this.#late.segments();
  }

  get sizeBytes(): number {
    return this.#late.sizeBytes + (this.#instead?.sizeBytes ?? 0);
  }
}

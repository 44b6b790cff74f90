import { RangeList, Runs } from '../../snapshots/runs.js';
import type { RunReader } from '../process/run-reader.js';
import type { CopySource } from './late-reads.js';
import { MAX_QUEUE_GAP } from './plan.js';
import { RunSource } from './run-source.js';

/** Queues that a stop had to read without a plan, and at most so many bytes of them, are planned for the next one. */
const WORTH_PLANNING = 32;
const MOST_BYTES = 1 << 28;

/** What goroutines wait in, read in one go: the queues of the plan, and those that earlier stops came upon. */
export class QueueCopy {
  readonly #from: CopySource;
  #runs: Runs;
  #reader: RunReader;
  #source: RunSource;
  #areFresh = false;

  /** `planned` are the queues of the plan. */
  constructor(planned: Runs, from: CopySource) {
    this.#from = from;
    this.#runs = planned;
    this.#reader = from.reader(planned);
    this.#source = new RunSource(planned, this.#reader.bytes);
  }

  get source(): RunSource {
    return this.#source;
  }

  get sizeBytes(): number {
    return this.#reader.bytes.length;
  }

  /** True if all of them were read since {@link grewOld}. */
  get areFresh(): boolean {
    return this.#areFresh;
  }

  /** To be called when goroutines may have moved. */
  grewOld(): void {
    this.#areFresh = false;
  }

  read(deadline = Infinity): void {
    this.#source.failed = this.#reader.read(deadline);
    this.#areFresh = this.#reader.end === this.#runs.length;
  }

  /**
   * Plans the queues that the last stop came upon, and empties their list: sudogs are few more than are in use, and used again
   * and again, so that the next stop finds most of them in the same places.
   */
  planMore(found: RangeList): void {
    if (found.length < WORTH_PLANNING || this.#runs.sizeBytes > MOST_BYTES) return;
    found.addAll(this.#runs.parts());
    this.#runs = new Runs(found, MAX_QUEUE_GAP);
    found.clear();
    this.#reader = this.#from.reader(this.#runs);
    this.#source = new RunSource(this.#runs, this.#reader.bytes);
  }
}

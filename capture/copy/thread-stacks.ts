import type { Segment, Range } from '../../snapshots/memory.js';
import { Pinned } from '../libc.js';
import type { LiveProcess } from '../process/live-process.js';

/** Room for the stacks of some tens of threads: most use a few kB. More is allocated once this is full. */
const POOL_BYTES = 1 << 20;

/** Stacks that are read thread by thread, while each of these stands still, into memory that is there already. */
export class ThreadStacks {
  readonly #source: Pick<LiveProcess, 'readInto'>;
  #pool = new Pinned(POOL_BYTES);
  #used = 0;
  #segments: Segment[] = [];
  #sizeBytes = 0;

  constructor(source: Pick<LiveProcess, 'readInto'>) {
    this.#source = source;
    this.#pool.bytes.fill(0);
  }

  clear(): void {
    this.#used = 0;
    this.#sizeBytes = 0;
    this.#segments = [];
  }

  /** Reads ranges. Of one that cannot be read whole, the bytes before the absent page are kept. */
  read(ranges: readonly Range[]): void {
    for (const { lo, hi } of ranges) {
      const most = hi - lo;
      if (this.#used + most > this.#pool.bytes.length) {
        this.#pool = new Pinned(Math.max(POOL_BYTES, most));
        this.#used = 0;
      }
      const length = this.#source.readInto(lo, this.#pool, this.#used, most);
      this.#segments.push({ addr: lo, bytes: this.#pool.bytes.subarray(this.#used, this.#used + length) });
      this.#used += length;
      this.#sizeBytes += length;
    }
  }

  /** What was read. Where two overlap, they are the same bytes. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }
}

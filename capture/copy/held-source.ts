import {
  Memory,
  segmentsIn,
  SegmentSource,
  type MemorySource,
  type Range,
  type Segment,
  type Window,
} from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';

/**
 * The memory of a running process, of which parts that never change can be held: they are not read again, and stay readable
 * once the process has ended.
 */
export class HeldSource implements MemorySource {
  readonly #live: MemorySource;
  readonly #constant: Runs;
  readonly #memory = new Memory(this);
  #held: MemorySource = new SegmentSource([]);
  #heldMemory = new Memory(this.#held);
  #hasFailed = false;

  /** `constant` is memory that the process cannot write. */
  constructor(live: MemorySource, constant: Runs) {
    this.#live = live;
    this.#constant = constant;
  }

  /** True if something that the process cannot write was asked for, and could not be read. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** From now on holds these segments and, of these ranges, what the process cannot write. */
  hold(segments: readonly Segment[], ranges: Iterable<Range>): void {
    const read = [...this.#constant.partsOf(ranges)].flatMap(({ lo, hi }) => [...segmentsIn(this.#memory, lo, hi)]);
    this.#held = new SegmentSource([...segments, ...read]);
    this.#heldMemory = new Memory(this.#held);
  }

  /** The bytes of a range: those that are held and, between them, what can be read of the process. */
  *segments({ lo, hi }: Range): Iterable<Segment> {
    let at = lo;
    for (const known of this.#held.ranges(lo, hi)) {
      if (at < known.lo) yield* segmentsIn(this.#memory, at, known.lo);
      yield* segmentsIn(this.#heldMemory, known.lo, known.hi);
      at = known.hi;
    }
    if (at < hi) yield* segmentsIn(this.#memory, at, hi);
  }

  window(addr: number): Window | null {
    const window = this.#held.window(addr) ?? this.#live.window(addr);
    if (window === null && this.#constant.indexOf(addr) >= 0) this.#hasFailed = true;
    return window;
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return this.#live.ranges(lo, hi);
  }

  copy(addr: number, into: Uint8Array): number {
    return this.#live.copy?.(addr, into) ?? 0;
  }
}

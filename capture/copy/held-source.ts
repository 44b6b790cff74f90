import type { Addr } from '../../snapshots/address.js';
import {
  Memory,
  segmentsIn,
  SegmentSource,
  type MemorySource,
  type Range,
  type Segment,
  type Window,
} from '../../snapshots/memory.js';
import { Runs } from '../../snapshots/runs.js';

/**
 * The memory of a running process, of which parts that never change can be held: they are not read again, and stay readable
 * once the process has ended.
 */
export class HeldSource implements MemorySource {
  readonly #live: MemorySource;
  readonly #constant: Runs;
  #held = new SegmentSource([]);

  /** `constant` is memory that the process cannot write, ascending. */
  constructor(live: MemorySource, constant: readonly Range[]) {
    this.#live = live;
    this.#constant = new Runs(constant, 0);
  }

  /** What is held. */
  get held(): MemorySource {
    return this.#held;
  }

  /** From now on holds these segments and, of these ranges, what the process cannot write. */
  hold(segments: readonly Segment[], ranges: Iterable<Range>): void {
    const memory = new Memory(this);
    const read = [...this.#constantOf(ranges)].flatMap(({ lo, hi }) => [...segmentsIn(memory, lo, hi)]);
    this.#held = new SegmentSource([...segments, ...read]);
  }

  *#constantOf(ranges: Iterable<Range>): Iterable<Range> {
    const constant = this.#constant;
    for (const { lo, hi } of ranges) {
      for (let i = constant.firstEndingAbove(lo); i < constant.length && constant.startOf(i) < hi; i++) {
        const end = constant.startOf(i) + constant.lengthOf(i);
        yield { lo: Math.max(lo, constant.startOf(i)) as Addr, hi: Math.min(hi, end) as Addr };
      }
    }
  }

  window(addr: number): Window | null {
    return this.#held.window(addr) ?? this.#live.window(addr);
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return this.#live.ranges(lo, hi);
  }

  copy(addr: number, into: Uint8Array): number {
    return this.#live.copy?.(addr, into) ?? 0;
  }
}

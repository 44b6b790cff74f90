import { SegmentSource, type MemorySource, type Range, type Segment, type Window } from '../../snapshots/memory.js';
import type { RunSource } from './run-source.js';

/** Memory that grows batch by batch, as reads that were not planned come in. Where batches overlap, the last one wins. */
export class LateSource implements MemorySource {
  readonly #batches: RunSource[] = [];

  add(batch: RunSource): void {
    this.#batches.unshift(batch);
  }

  /** True if one batch has all of [lo, hi). */
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

  /** The last batch first. */
  segments(): Segment[] {
    return this.#batches.flatMap((batch) => batch.segments());
  }

  get sizeBytes(): number {
    return this.#batches.reduce((n, batch) => n + batch.sizeBytes, 0);
  }
}

import { SegmentSource, type MemorySource, type Range, type Window } from '../../snapshots/memory.js';
import type { CopiedMemory } from '../../analyze/runtime/pointer-walk.js';
import type { RunSource } from './run-source.js';

/** Memory that grows batch by batch, as reads that were not planned come in. Where batches overlap, the last one wins. */
export class LateSource implements MemorySource, CopiedMemory {
  readonly #batches: RunSource[] = [];
  #found: DataView | null = null;

  add(batch: RunSource): void {
    this.#batches.unshift(batch);
  }

  /** True if one batch has all of [lo, hi). */
  has(lo: number, hi: number): boolean {
    return this.#batches.some((batch) => batch.has(lo, hi));
  }

  find(at: number, length: number): number {
    for (const batch of this.#batches) {
      const offset = batch.offsetOf(at, length);
      if (offset < 0) continue;
      this.#found = batch.view;
      return offset;
    }
    return -1;
  }

  get view(): DataView {
    if (this.#found === null) throw new RangeError('nothing was found yet');
    return this.#found;
  }

  window(at: number): Window | null {
    for (const batch of this.#batches) {
      const window = batch.window(at);
      if (window !== null) return window;
    }
    return null;
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return new SegmentSource(this.#batches.flatMap((batch) => batch.segments())).ranges(lo, hi);
  }

  /** The last batch first. */
  get all(): readonly RunSource[] {
    return this.#batches;
  }

  get sizeBytes(): number {
    return this.#batches.reduce((n, batch) => n + batch.sizeBytes, 0);
  }
}

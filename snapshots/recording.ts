import { alignDown, type Addr } from './address.js';
import type { Mapping } from './image.js';
import { clip, Memory, type MemorySource, type Range, type Window } from './memory.js';
import { Runs } from './runs.js';

/** What a process can write is recorded word by word: nothing beside what was read is kept. */
const WORD = 8;
/** What it cannot write is recorded in aligned units of 32 words, which is quicker: it is the program's file. */
const GRAIN = 32 * WORD;

/** Words are marked in one bitmap for so many bytes of memory: 1 kB of marks. */
const AREA = 2 ** 16;

export interface Recorded {
  /** The mappings of the process: memory that is in none of them counts as writable. */
  readonly mappings: readonly Mapping[];
  /** What is kept in any case: reads of it are not recorded. */
  readonly kept?: Runs;
}

/** A source that records which memory is read through it, so that a snapshot can keep just that. */
export class RecordingSource implements MemorySource {
  readonly #source: MemorySource;
  readonly #constant: Runs;
  readonly #kept: Runs;
  /** By address, for each area of which something was read, a bit for each of its words. */
  readonly #areas = new Map<number, Uint32Array<ArrayBuffer>>();
  /** The area of the last read. */
  #area = -1;
  #marks = new Uint32Array(0);

  constructor(source: MemorySource, { mappings, kept = new Runs([], 0) }: Recorded) {
    this.#source = source;
    const constant = mappings.filter(({ writable }) => !writable);
    this.#constant = new Runs(
      constant.map(({ start, end }) => ({ lo: start, hi: end })),
      0,
    );
    this.#kept = kept;
  }

  window(addr: number): Window | null {
    const window = this.#source.window(addr);
    if (window === null) return null;
    const kept = this.#kept.indexOf(addr);
    if (kept >= 0) {
      const { lo, hi } = this.#kept.at(kept);
      return clip(window, Math.max(window.lo, lo), Math.min(window.hi, hi));
    }
    const unit = this.#constant.indexOf(addr) >= 0 ? GRAIN : WORD;
    const from = alignDown(addr as Addr, unit);
    this.#mark(from, unit);
    return clip(window, Math.max(window.lo, from), Math.min(window.hi, from + unit));
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return this.#source.ranges(lo, hi);
  }

  /** Returns the ranges that were read, in whole words, ascending, with neighbours joined. */
  recorded(): Range[] {
    return [...this.#recorded()];
  }

  *#recorded(): Iterable<Range> {
    let [lo, hi] = [0, 0];
    for (const area of Float64Array.from(this.#areas.keys()).sort()) {
      const marks = this.#areas.get(area) ?? [];
      for (let i = 0; i < AREA / (32 * WORD); i++) {
        // Most areas are read in few places.
        for (let left = marks[i] ?? 0; left !== 0; left &= left - 1) {
          const word = area + (32 * i + 31 - Math.clz32(left & -left)) * WORD;
          if (word !== hi) {
            if (lo < hi) yield { lo: lo as Addr, hi: hi as Addr };
            lo = word;
          }
          hi = word + WORD;
        }
      }
    }
    if (lo < hi) yield { lo: lo as Addr, hi: hi as Addr };
  }

  #mark(from: number, sizeBytes: number): void {
    const area = from - (from % AREA);
    if (area !== this.#area) {
      this.#area = area;
      this.#marks = this.#areas.get(area) ?? new Uint32Array(AREA / (32 * WORD));
      this.#areas.set(area, this.#marks);
    }
    const bit = (from - area) / WORD;
    const i = bit >> 5;
    this.#marks[i] = (this.#marks[i] ?? 0) | (sizeBytes === WORD ? 1 << (bit & 31) : -1);
  }
}

/** Wraps memory so that reads are recorded, except those through {@link Memory.unrecorded}. */
export function recordingMemory(memory: Memory, what: Recorded): { memory: Memory; recording: RecordingSource } {
  const recording = new RecordingSource(memory.source, what);
  return { memory: new Memory(recording, memory), recording };
}

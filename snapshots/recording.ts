import { alignDown, type Addr } from './address.js';
import { Memory, type MemorySource, type Range, type Window } from './memory.js';

/** Reads are recorded in aligned units of this many bytes: small enough that little unread memory is kept with them. */
const GRAIN = 256;

/** Grains are marked in one bitmap for so many bytes of memory: 512 bytes of marks. */
const AREA = 2 ** 20;

/** A source that records which memory is read through it, so that a snapshot can keep just that. */
export class RecordingSource implements MemorySource {
  readonly #source: MemorySource;
  /** By address, for each area of which something was read, a bit for each of its grains. */
  readonly #areas = new Map<number, Uint8Array<ArrayBuffer>>();
  /** The area of the last read. */
  #area = -1;
  #marks = new Uint8Array(0);

  constructor(source: MemorySource) {
    this.#source = source;
  }

  window(addr: number): Window | null {
    const window = this.#source.window(addr);
    if (window === null) return null;
    const grain = alignDown(addr as Addr, GRAIN);
    this.#mark(grain);
    const lo = Math.max(grain, window.lo);
    const hi = Math.min(grain + GRAIN, window.hi);
    const { buffer, byteOffset } = window.view;
    return { lo, hi, view: new DataView(buffer, byteOffset + (lo - window.lo), hi - lo) };
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return this.#source.ranges(lo, hi);
  }

  /** Returns the ranges that were read, in multiples of the grain, ascending, with neighbours joined. */
  recorded(): Range[] {
    return [...this.#recorded()];
  }

  *#recorded(): Iterable<Range> {
    let [lo, hi] = [0, 0];
    for (const area of Float64Array.from(this.#areas.keys()).sort()) {
      const marks = this.#areas.get(area) ?? [];
      for (let i = 0; i < AREA / GRAIN; i++) {
        if (((marks[i >> 3] ?? 0) & (1 << (i & 7))) === 0) continue;
        const grain = area + i * GRAIN;
        if (grain !== hi) {
          if (lo < hi) yield { lo: lo as Addr, hi: hi as Addr };
          lo = grain;
        }
        hi = grain + GRAIN;
      }
    }
    if (lo < hi) yield { lo: lo as Addr, hi: hi as Addr };
  }

  #mark(grain: number): void {
    const area = grain - (grain % AREA);
    if (area !== this.#area) {
      this.#area = area;
      this.#marks = this.#areas.get(area) ?? new Uint8Array(AREA / GRAIN / 8);
      this.#areas.set(area, this.#marks);
    }
    const i = (grain - area) / GRAIN;
    this.#marks[i >> 3] = (this.#marks[i >> 3] ?? 0) | (1 << (i & 7));
  }
}

/** Wraps memory so that reads are recorded, except those through {@link Memory.unrecorded}. */
export function recordingMemory(memory: Memory): { memory: Memory; recording: RecordingSource } {
  const recording = new RecordingSource(memory.source);
  return { memory: new Memory(recording, memory), recording };
}

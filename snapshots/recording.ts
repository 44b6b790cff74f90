import { alignDown, type Addr } from './address.js';
import { Memory, type MemorySource, type Range, type Window } from './memory.js';

/** Reads are recorded in aligned units of this many bytes: small enough that little unread memory is kept with them. */
const GRAIN = 256;

/** A source that records which memory is read through it, so that a snapshot can keep just that. */
export class RecordingSource implements MemorySource {
  readonly #source: MemorySource;
  readonly #grains = new Set<number>();

  constructor(source: MemorySource) {
    this.#source = source;
  }

  window(addr: number): Window | null {
    const window = this.#source.window(addr);
    if (window === null) return null;
    const grain = alignDown(addr as Addr, GRAIN);
    this.#grains.add(grain);
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
    const out: { lo: Addr; hi: Addr }[] = [];
    for (const grain of Float64Array.from(this.#grains).sort()) {
      const last = out.at(-1);
      if (last?.hi === grain) last.hi = (grain + GRAIN) as Addr;
      else out.push({ lo: grain as Addr, hi: (grain + GRAIN) as Addr });
    }
    return out;
  }
}

/** Wraps memory so that reads are recorded, except those through {@link Memory.unrecorded}. */
export function recordingMemory(memory: Memory): { memory: Memory; recording: RecordingSource } {
  const recording = new RecordingSource(memory.source);
  return { memory: new Memory(recording, memory), recording };
}

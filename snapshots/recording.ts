import { alignDown, type Addr } from './address.js';
import { Memory, type MemorySource, type Range, type Window } from './memory.js';

/** Reads are noted in units of this many bytes: about a cache line's neighbours, small beside what is worth keeping. */
const GRAIN = 256;

/** A source that notes what is read through it, so that just that can be kept. */
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

  /** What was read, ascending, neighbours joined. */
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

/** Memory whose reads are noted, but for searches. */
export function recordingMemory(memory: Memory): { memory: Memory; recording: RecordingSource } {
  const recording = new RecordingSource(memory.source);
  return { memory: new Memory(recording, memory), recording };
}

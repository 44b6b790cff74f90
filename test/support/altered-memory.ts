import type { Addr } from '../../snapshots/address.js';
import {
  LayeredSource,
  Memory,
  SegmentSource,
  type MemorySource,
  type Range,
  type Window,
} from '../../snapshots/memory.js';

/** Memory in which a 64-bit word has another value. */
export function withWord(memory: Memory, at: Addr, value: number | bigint): Memory {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return withBytes(memory, at, bytes);
}

/** Memory in which other bytes lie at an address. */
export function withBytes(memory: Memory, addr: Addr, bytes: Uint8Array): Memory {
  return new Memory(new LayeredSource([new SegmentSource([{ addr, bytes }]), memory.source]));
}

/** Memory in which a range is absent. */
export function without(memory: Memory, absent: Range): Memory {
  return new Memory(new Without(memory.source, absent));
}

class Without implements MemorySource {
  readonly #source: MemorySource;
  readonly #absent: Range;

  constructor(source: MemorySource, absent: Range) {
    this.#source = source;
    this.#absent = absent;
  }

  window(addr: number): Window | null {
    const { lo: from, hi: to } = this.#absent;
    const window = addr >= from && addr < to ? null : this.#source.window(addr);
    if (window === null) return null;
    const lo = addr >= to ? Math.max(window.lo, to) : window.lo;
    const hi = addr < from ? Math.min(window.hi, from) : window.hi;
    const { buffer, byteOffset } = window.view;
    return { lo, hi, view: new DataView(buffer, byteOffset + (lo - window.lo), hi - lo) };
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    const { lo: from, hi: to } = this.#absent;
    yield* this.#source.ranges(lo, Math.min(hi, from));
    yield* this.#source.ranges(Math.max(lo, to), hi);
  }
}

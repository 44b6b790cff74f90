import { ADDR_LIMIT, hex, type Addr } from './address.js';
import { firstIndex } from './binary-search.js';
import { wordAt } from './bytes.js';
import { firstWins } from './overlaps.js';

/** A run of bytes that is known: [lo, hi) lies at offset 0 of `view`. */
export interface Window {
  readonly lo: number;
  readonly hi: number;
  readonly view: DataView;
}

/** Half-open range of addresses. */
export interface Range {
  readonly lo: Addr;
  readonly hi: Addr;
}

/** Where memory comes from: chunks of a snapshot, segments of a core, a live process. Absent memory is null, not zero. */
export interface MemorySource {
  /** A run of known bytes that contains `addr`, as long as is cheap to have; null where that byte is absent. */
  window(addr: number): Window | null;
  /** Known ranges within [lo, hi), ascending and clipped to it; neighbours may touch. */
  ranges(lo: number, hi: number): Iterable<Range>;
  /** Why the byte at `addr` is absent, where more is known than that it is: a part of a sentence. */
  absence?(addr: number): string | null;
}

/** A read of memory that the image does not have, or a word that is no pointer where one was due. */
export class MemoryFault extends Error {
  override readonly name = 'MemoryFault';
  readonly addr: number;

  constructor(addr: number, message: string) {
    super(message);
    this.addr = addr;
  }
}

/**
 * Returns what `read` returns or, where it throws a {@link MemoryFault}, what `otherwise` makes of that. Other errors
 * pass through: they are bugs.
 */
export function onFault<T, U>(read: () => T, otherwise: (fault: MemoryFault) => U): T | U {
  try {
    return read();
  } catch (error) {
    if (error instanceof MemoryFault) return otherwise(error);
    throw error;
  }
}

const EMPTY: Window = { lo: 0, hi: 0, view: new DataView(new ArrayBuffer(0)) };
/** Bytes from which a copy is worth the look whether all of it is there. */
const MANY = 4096;
/** Windows of a lower layer reach this far at most: what lies above them is looked through for each. */
const LAYER_BLOCK = 2 ** 20;

/**
 * Checked little-endian reads at an address. Every reader takes a base and a byte offset from it, and throws
 * {@link MemoryFault} where a byte is absent. The last window is kept: neighbouring reads cost a few nanoseconds.
 */
export class Memory {
  readonly source: MemorySource;
  /** The same memory for searches: where reads are recorded, those through here are not. */
  readonly unrecorded: Memory;
  #window: Window = EMPTY;
  readonly #straddle = new DataView(new ArrayBuffer(8));

  constructor(source: MemorySource, unrecorded?: Memory) {
    this.source = source;
    this.unrecorded = unrecorded ?? this;
  }

  /** True where all `length` bytes at `base` are known. */
  has(base: Addr, length: number): boolean {
    return this.#firstAbsent(base, length) >= base + length;
  }

  u8(base: Addr, offset = 0): number {
    const at = base + offset;
    const w = this.#at(at);
    return w.view.getUint8(at - w.lo);
  }

  u16(base: Addr, offset = 0): number {
    const at = base + offset;
    const w = this.#at(at);
    if (at + 2 > w.hi) return this.#across(at, 2).getUint16(0, true);
    return w.view.getUint16(at - w.lo, true);
  }

  u32(base: Addr, offset = 0): number {
    const at = base + offset;
    const w = this.#at(at);
    if (at + 4 > w.hi) return this.#across(at, 4).getUint32(0, true);
    return w.view.getUint32(at - w.lo, true);
  }

  i32(base: Addr, offset = 0): number {
    return this.u32(base, offset) | 0;
  }

  /** Any 64 bits. Slow: use {@link word} or {@link ptr} where the value is a count or an address. */
  u64(base: Addr, offset = 0): bigint {
    const at = base + offset;
    const w = this.#at(at);
    if (at + 8 > w.hi) return this.#across(at, 8).getBigUint64(0, true);
    return w.view.getBigUint64(at - w.lo, true);
  }

  /** An unsigned 64-bit count as a number; above 2^53 the low bits are lost, which a bound must catch. */
  word(base: Addr, offset = 0): number {
    const at = base + offset;
    const w = this.#at(at);
    return at + 8 > w.hi ? wordAt(this.#across(at, 8), 0) : wordAt(w.view, at - w.lo);
  }

  /** A pointer; 0 is nil. Throws {@link MemoryFault} where the word cannot be an address. */
  ptr(base: Addr, offset = 0): Addr {
    const value = this.word(base, offset);
    if (value >= ADDR_LIMIT) {
      throw new MemoryFault(base + offset, `the word at ${hex(base + offset)} is no pointer: ${hex(value)}`);
    }
    return value as Addr;
  }

  /** A copy of `length` bytes at `base`. */
  bytes(base: Addr, length: number): Uint8Array {
    // Nothing is set aside for a length that a broken process made up.
    const absent = length > MANY ? this.#firstAbsent(base, length) : base + length;
    if (absent < base + length) throw this.#fault(absent);
    if (!(length >= 0)) throw new MemoryFault(base, `${length} bytes at ${hex(base)} cannot be read`);
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const at = base + done;
      const w = this.#at(at);
      const n = Math.min(length - done, w.hi - at);
      out.set(new Uint8Array(w.view.buffer, w.view.byteOffset + (at - w.lo), n), done);
      done += n;
    }
    return out;
  }

  /** UTF-8 text of exactly `length` bytes; bytes that are no UTF-8 become U+FFFD. */
  string(base: Addr, length: number): string {
    return Buffer.from(this.bytes(base, length).buffer).toString('utf8');
  }

  /** A NUL-terminated string of at most `max` bytes; throws {@link MemoryFault} where no NUL comes. */
  cstring(base: Addr, max = 4096): string {
    const out: number[] = [];
    for (let i = 0; i < max; i++) {
      const b = this.u8(base, i);
      if (b === 0) return Buffer.from(out).toString('utf8');
      out.push(b);
    }
    throw new MemoryFault(base, `no end of the string at ${hex(base)} within ${max} bytes`);
  }

  /** Known ranges within [lo, hi), ascending. */
  ranges(lo: Addr, hi: Addr): Iterable<Range> {
    return this.source.ranges(lo, hi);
  }

  #at(at: number): Window {
    const kept = this.#window;
    if (at >= kept.lo && at < kept.hi) return kept;
    const window = at >= 0 && at < ADDR_LIMIT ? this.source.window(at) : null;
    if (window === null) throw this.#fault(at);
    this.#window = window;
    return window;
  }

  #fault(at: number): MemoryFault {
    const reason = at >= 0 && at < ADDR_LIMIT ? (this.source.absence?.(at) ?? null) : null;
    return new MemoryFault(at, `no memory at ${hex(at)} in the image${reason === null ? '' : `: ${reason}`}`);
  }

  /** The first address in [base, base + length) that is absent; the end where none is. */
  #firstAbsent(base: number, length: number): number {
    let at = base;
    while (at < base + length) {
      const window = at < ADDR_LIMIT ? this.source.window(at) : null;
      if (window === null) return at;
      at = window.hi;
    }
    return base + length;
  }

  #across(at: number, length: number): DataView {
    for (let i = 0; i < length; i++) {
      const w = this.#at(at + i);
      this.#straddle.setUint8(i, w.view.getUint8(at + i - w.lo));
    }
    return this.#straddle;
  }
}

/** Bytes that lie at an address. */
export interface Segment {
  readonly addr: Addr;
  readonly bytes: Uint8Array;
}

/** Memory held as segments in this process. Where segments overlap, the one that was given first wins. */
export class SegmentSource implements MemorySource {
  readonly #segments: Iterable<Segment>;
  #sorted: Window[] | null = null;

  /** `segments` are looked at with the first read. */
  constructor(segments: Iterable<Segment>) {
    this.#segments = segments;
  }

  get #windows(): Window[] {
    return (this.#sorted ??= this.#sort());
  }

  #sort(): Window[] {
    const windows: Window[] = [];
    for (const { addr, bytes } of this.#segments) {
      if (bytes.length === 0) continue;
      windows.push({
        lo: addr,
        hi: addr + bytes.length,
        view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      });
    }
    return withoutOverlaps(windows);
  }

  window(addr: number): Window | null {
    const i = lastAtOrBelow(this.#windows, addr);
    const window = i < 0 ? undefined : this.#windows[i];
    return window !== undefined && addr < window.hi ? window : null;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (let i = Math.max(0, lastAtOrBelow(this.#windows, lo)); i < this.#windows.length; i++) {
      const w = this.#windows[i];
      if (w === undefined || w.lo >= hi) return;
      if (w.hi > lo) yield { lo: Math.max(lo, w.lo) as Addr, hi: Math.min(hi, w.hi) as Addr };
    }
  }
}

/** Several sources as one: for each byte the first source that has it. */
export class LayeredSource implements MemorySource {
  readonly #layers: readonly MemorySource[];

  constructor(layers: readonly MemorySource[]) {
    this.#layers = layers;
  }

  window(addr: number): Window | null {
    for (const [i, layer] of this.#layers.entries()) {
      const window = layer.window(addr);
      if (window !== null) return i === 0 ? window : this.#clip(window, addr, i);
    }
    return null;
  }

  absence(addr: number): string | null {
    for (const layer of this.#layers) {
      const reason = layer.absence?.(addr) ?? null;
      if (reason !== null) return reason;
    }
    return null;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    let at = lo;
    while (at < hi) {
      const next = this.#nextKnown(at, hi);
      if (next === null) return;
      yield next;
      at = next.hi;
    }
  }

  /** The part of a lower layer's window around `addr` that no higher layer has. */
  #clip(window: Window, addr: number, depth: number): Window {
    const block = addr - (addr % LAYER_BLOCK);
    let lo = Math.max(window.lo, block);
    let hi = Math.min(window.hi, block + LAYER_BLOCK);
    for (const layer of this.#layers.slice(0, depth)) {
      for (const range of layer.ranges(lo, hi)) {
        if (range.hi <= addr) lo = Math.max(lo, range.hi);
        else {
          hi = Math.min(hi, range.lo);
          break;
        }
      }
    }
    return clipped(window, lo, hi);
  }

  #nextKnown(at: number, hi: number): Range | null {
    let best: Range | null = null;
    for (const layer of this.#layers) {
      for (const range of layer.ranges(at, hi)) {
        if (best === null || range.lo < best.lo || (range.lo === best.lo && range.hi > best.hi)) best = range;
        break;
      }
    }
    return best;
  }
}

function lastAtOrBelow(windows: readonly Window[], addr: number): number {
  return firstIndex(windows.length, (i) => (windows[i]?.lo ?? Infinity) > addr) - 1;
}

function withoutOverlaps(windows: readonly Window[]): Window[] {
  return firstWins(windows).flatMap(({ lo, hi, owner }) => {
    const window = windows[owner];
    if (window === undefined) return [];
    return lo === window.lo && hi === window.hi ? [window] : [clipped(window, lo, hi)];
  });
}

function clipped({ lo: from, view }: Window, lo: number, hi: number): Window {
  return { lo, hi, view: new DataView(view.buffer, view.byteOffset + (lo - from), hi - lo) };
}

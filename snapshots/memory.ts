import { ADDR_LIMIT, hex, type Addr } from './address.js';
import { firstIndex } from './binary-search.js';
import { wordAt } from './bytes.js';
import { firstWins } from './overlaps.js';

/** Bytes that are known: those at the addresses [lo, hi), which start at offset 0 of `view`. */
export interface Window {
  readonly lo: number;
  readonly hi: number;
  readonly view: DataView;
}

/** A half-open range of addresses: [lo, hi). */
export interface Range {
  readonly lo: Addr;
  readonly hi: Addr;
}

/** Provides memory: sections of a snapshot, segments of a core, a live process. Absent memory is null, never zeros. */
export interface MemorySource {
  /** Returns known bytes around `addr`, as many as are cheap to provide, or null if the byte at `addr` is absent. */
  window(addr: number): Window | null;
  /** Returns the known ranges in [lo, hi), ascending and clipped to it. Neighbours may touch. */
  ranges(lo: number, hi: number): Iterable<Range>;
  /** Copies known bytes from `addr` on, without a window for each part. Returns how many, 0 if it does not do that there. */
  copy?(addr: number, into: Uint8Array): number;
  /** Says which addresses will be read next, in this order: a source may read ahead. */
  expect?(addresses: Float64Array): void;
  /** Returns why the byte at `addr` is absent, as a part of a sentence, or null if no reason is known. */
  absence?(addr: number): string | null;
}

/** A read of memory that the image lacks, or of a pointer that cannot be one. */
export class MemoryFault extends Error {
  override readonly name = 'MemoryFault';
  readonly addr: number;

  constructor(addr: number, message: string) {
    super(message);
    this.addr = addr;
  }
}

/**
 * Returns what `read` returns or, if it throws a {@link MemoryFault}, what `otherwise` returns for it. Other errors pass
 * through.
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
/** Copies longer than this many bytes are checked for absent bytes before a buffer is allocated. */
const LONG_COPY = 4096;
/** Of longer ones the mappings are no proof that there are so many bytes. */
const MAPPED_COPY = 2 ** 28;
/** Largest window of a lower layer, in bytes: clipping one costs a look at all higher layers within it. */
const LAYER_BLOCK = 2 ** 20;

/**
 * Checked little-endian reads at an address. Every reader takes a base and a byte offset from it, and throws
 * {@link MemoryFault} if a byte is absent. The last window is cached, so neighbouring reads cost a few nanoseconds.
 */
export class Memory {
  readonly source: MemorySource;
  /** The same memory, for searches: reads through it are never recorded (see recording.ts). */
  readonly unrecorded: Memory;
  #window: Window = EMPTY;
  readonly #straddle = new DataView(new ArrayBuffer(8));

  constructor(source: MemorySource, unrecorded?: Memory) {
    this.source = source;
    this.unrecorded = unrecorded ?? this;
  }

  /** Returns whether all `length` bytes at `base` are known. */
  has(base: Addr, length: number): boolean {
    return this.#firstAbsent(base, length) >= base + length;
  }

  /** Returns known bytes around `addr`, as many as are cheap to provide. Throws {@link MemoryFault} if that byte is absent. */
  around(addr: Addr): Window {
    return this.#at(addr);
  }

  /** Returns known bytes with all `length` bytes at `base`: those around, or a copy of just these if they lie in several windows. */
  whole(base: Addr, length: number): Window {
    const window = this.#at(base);
    if (base + length <= window.hi) return window;
    return { lo: base, hi: base + length, view: new DataView(this.bytes(base, length).buffer) };
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

  /** Reads any 64 bits. Slow: use {@link word} for a count and {@link ptr} for an address. */
  u64(base: Addr, offset = 0): bigint {
    const at = base + offset;
    const w = this.#at(at);
    if (at + 8 > w.hi) return this.#across(at, 8).getBigUint64(0, true);
    return w.view.getBigUint64(at - w.lo, true);
  }

  /** Reads an unsigned 64-bit count as a number. Above 2^53 the low bits are lost: callers must check an upper bound. */
  word(base: Addr, offset = 0): number {
    const at = base + offset;
    const w = this.#at(at);
    return at + 8 > w.hi ? wordAt(this.#across(at, 8), 0) : wordAt(w.view, at - w.lo);
  }

  /** The same; 0 where it is absent. Where much may be, this is quicker than to catch a fault. */
  wordOr0(base: Addr, offset = 0): number {
    const at = base + offset;
    const w = this.#find(at);
    if (w !== null && at + 8 <= w.hi) return wordAt(w.view, at - w.lo);
    return w !== null && this.has(at as Addr, 8) ? this.word(at as Addr) : 0;
  }

  /** Reads a pointer; 0 is nil. Throws {@link MemoryFault} if the word cannot be an address. */
  ptr(base: Addr, offset = 0): Addr {
    return pointer(this.word(base, offset), base + offset);
  }

  /** Returns a copy of the `length` bytes at `base`. */
  bytes(base: Addr, length: number): Uint8Array {
    // A length read from a broken process may be huge: allocate only if the bytes are there.
    const absent = length > LONG_COPY ? this.#firstAbsent(base, length) : base + length;
    if (absent < base + length) throw this.#fault(absent);
    if (!(length >= 0)) throw new MemoryFault(base, `${length} bytes at ${hex(base)} cannot be read`);
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const at = base + done;
      const copied = length > LONG_COPY ? (this.source.copy?.(at, out.subarray(done)) ?? 0) : 0;
      done += copied;
      if (copied > 0) continue;
      const w = this.#at(at);
      const n = Math.min(length - done, w.hi - at);
      out.set(new Uint8Array(w.view.buffer, w.view.byteOffset + (at - w.lo), n), done);
      done += n;
    }
    return out;
  }

  /** Reads exactly `length` bytes as UTF-8. Invalid bytes become U+FFFD. */
  string(base: Addr, length: number): string {
    return Buffer.from(this.bytes(base, length).buffer).toString('utf8');
  }

  /** Reads a NUL-terminated string. Throws {@link MemoryFault} if there is no NUL within `max` bytes. */
  cstring(base: Addr, max = 4096): string {
    const out: number[] = [];
    for (let i = 0; i < max; i++) {
      const b = this.u8(base, i);
      if (b === 0) return Buffer.from(out).toString('utf8');
      out.push(b);
    }
    throw new MemoryFault(base, `the string at ${hex(base)} does not end within ${max} bytes`);
  }

  /** Returns the known ranges in [lo, hi), ascending and clipped to it. */
  ranges(lo: Addr, hi: Addr): Iterable<Range> {
    return this.source.ranges(lo, hi);
  }

  #at(at: number): Window {
    const window = this.#find(at);
    if (window === null) throw this.#fault(at);
    return window;
  }

  #find(at: number): Window | null {
    const kept = this.#window;
    if (at >= kept.lo && at < kept.hi) return kept;
    const window = at >= 0 && at < ADDR_LIMIT ? this.source.window(at) : null;
    if (window !== null) this.#window = window;
    return window;
  }

  #fault(at: number): MemoryFault {
    const reason = at >= 0 && at < ADDR_LIMIT ? (this.source.absence?.(at) ?? null) : null;
    return new MemoryFault(at, `no memory at ${hex(at)} in the image${reason === null ? '' : `: ${reason}`}`);
  }

  /** Returns the first absent address in [base, base + length), or the end of that range if there is none. */
  #firstAbsent(base: number, length: number): number {
    let at = base;
    if (this.source.copy !== undefined && length <= MAPPED_COPY) {
      for (const { lo, hi } of this.source.ranges(base, base + length)) if (lo <= at) at = hi;
      return at;
    }
    while (at < base + length) {
      const window = at < ADDR_LIMIT ? this.source.window(at) : null;
      if (window === null) return at;
      at = window.hi;
    }
    return base + length;
  }

  /** Collects bytes that lie in several windows. The next call overwrites the result. */
  #across(at: number, length: number): DataView {
    for (let i = 0; i < length; i++) {
      const w = this.#at(at + i);
      this.#straddle.setUint8(i, w.view.getUint8(at + i - w.lo));
    }
    return this.#straddle;
  }
}

/** The word at an address as a pointer; 0 is nil. Throws {@link MemoryFault} if it cannot be an address. */
export function pointer(word: number, at: number): Addr {
  if (word >= ADDR_LIMIT) throw new MemoryFault(at, `the word at ${hex(at)} is not a pointer: ${hex(word)}`);
  return word as Addr;
}

/** Bytes and the address at which they lie. */
export interface Segment {
  readonly addr: Addr;
  readonly bytes: Uint8Array;
}

/** Copies the memory in [lo, hi), without what cannot be read although the image lists it. */
export function* segmentsIn(memory: Memory, lo: Addr, hi: Addr): Iterable<Segment> {
  for (const known of memory.ranges(lo, hi)) {
    yield* onFault(
      () => [{ addr: known.lo, bytes: memory.bytes(known.lo, known.hi - known.lo) }],
      () => [],
    );
  }
}

/** Memory in the form of segments. Where segments overlap, the one that comes first in the list wins. */
export class SegmentSource implements MemorySource {
  readonly #segments: Iterable<Segment>;
  #sorted: Window[] | null = null;

  /** `segments` are not iterated before the first read. */
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
    return cutOverlaps(windows);
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

/** Several sources as one. Each byte comes from the first layer that has it. */
export class LayeredSource implements MemorySource {
  readonly #layers: readonly MemorySource[];

  constructor(layers: readonly MemorySource[]) {
    this.#layers = layers;
  }

  window(addr: number): Window | null {
    for (let i = 0; i < this.#layers.length; i++) {
      const window = this.#layers[i]?.window(addr) ?? null;
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

  expect(addresses: Float64Array): void {
    for (const layer of this.#layers) layer.expect?.(addresses);
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

  /** Clips a window of layer `depth` to the part around `addr` that no higher layer has. */
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
    return clip(window, lo, hi);
  }

  /** Returns the known range that starts lowest at or above `at`, the longest if several start there. */
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

function cutOverlaps(windows: readonly Window[]): Window[] {
  return firstWins(windows).flatMap(({ lo, hi, owner }) => {
    const window = windows[owner];
    if (window === undefined) return [];
    return lo === window.lo && hi === window.hi ? [window] : [clip(window, lo, hi)];
  });
}

/** The part [lo, hi) of a window. */
export function clip({ lo: from, view }: Window, lo: number, hi: number): Window {
  return { lo, hi, view: new DataView(view.buffer, view.byteOffset + (lo - from), hi - lo) };
}

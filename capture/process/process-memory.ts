import { alignDown, type Addr } from '../../snapshots/address.js';
import { firstIndex } from '../../snapshots/binary-search.js';
import type { Mapping } from '../../snapshots/image.js';
import type { MemorySource, Range, Window } from '../../snapshots/memory.js';
import { Pinned } from '../libc.js';
import type { MemoryReader } from './memory-port.js';

const WINDOW_BYTES = 64 * 1024;
/** 16 MB in all; windows that were dropped are read again. */
const CACHED_WINDOWS = 256;
/** Absent pages that are remembered: where numbers are taken for addresses, the same few are asked for again and again. */
const MOST_ABSENT = 4096;
/** The smallest unit in which memory can be absent. */
export const PAGE_BYTES = 4096;
/** Memory that the kernel shares with every process and that cannot be read from outside. */
const UNREADABLE = new Set(['[vvar]', '[vvar_vclock]', '[vsyscall]']);

/** How often the mappings are read again because an address is in none of them. A program that grows needs it now and then. */
const MAX_REFRESHES = 64;

/**
 * The memory of a running process, for the time before it is stopped. It is read in windows, which are cached even though
 * the process may change them. The mappings change too: where something is at an address that is in none of them, they are
 * looked up again.
 */
export class ProcessMemory implements MemorySource {
  readonly #port: MemoryReader;
  readonly #currentMappings: () => readonly Mapping[];
  readonly #rest: () => unknown;
  #mappings: readonly Mapping[];
  #refreshes = 0;
  readonly #cache = new Map<number, Window>();
  readonly #scratch = new Pinned(WINDOW_BYTES);
  /** Pages outside all mappings that were asked for. */
  readonly #absent = new Set<number>();

  /**
   * Mappings must be ascending. Those that are not readable are absent. `currentMappings` looks them up, and `rest` is called at
   * each look for a window.
   */
  constructor(
    port: MemoryReader,
    mappings: readonly Mapping[],
    currentMappings: () => readonly Mapping[],
    rest: () => unknown = () => undefined,
  ) {
    this.#port = port;
    this.#rest = rest;
    this.#mappings = readableOf(mappings);
    this.#currentMappings = currentMappings;
  }

  window(addr: number): Window | null {
    this.#rest();
    const mapping = this.#mappingOf(addr) ?? (this.#isThere(addr) && this.#refresh() ? this.#mappingOf(addr) : null);
    if (mapping === null) return null;
    const lo = Math.max(alignDown(addr as Addr, WINDOW_BYTES), mapping.start);
    const cached = this.#cache.get(lo);
    if (cached !== undefined && addr < cached.hi) return cached;
    const hi = Math.min(alignDown(addr as Addr, WINDOW_BYTES) + WINDOW_BYTES, mapping.end);
    const window = this.#fetch(lo, hi);
    if (window !== null && addr < window.hi) return this.#keep(window);
    // A page before this one is absent: so read from this page on.
    const page = this.#fetch(Math.max(alignDown(addr as Addr, PAGE_BYTES), lo), hi);
    return page !== null && addr < page.hi ? page : null;
  }

  /** Only of what the process cannot write: of all else, what was read once is kept. */
  copy(addr: number, into: Uint8Array): number {
    const mapping = this.#mappingOf(addr);
    if (mapping === null || mapping.writable) return 0;
    const length = Math.min(into.length, mapping.end - addr);
    let done = 0;
    for (let asked = 1, got = 1; got === asked && done < length; done += got) {
      this.#rest();
      asked = Math.min(WINDOW_BYTES, length - done);
      got = this.#port.read(addr + done, this.#scratch, 0, asked);
      into.set(this.#scratch.bytes.subarray(0, got), done);
    }
    return done;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    if (!this.#covers(lo, hi)) this.#refresh();
    for (let i = this.#firstEndingAbove(lo); i < this.#mappings.length; i++) {
      const mapping = this.#mappings[i];
      if (mapping === undefined || mapping.start >= hi) return;
      yield { lo: Math.max(lo, mapping.start) as Addr, hi: Math.min(hi, mapping.end) as Addr };
    }
  }

  #keep(window: Window): Window {
    if (this.#cache.size >= CACHED_WINDOWS) this.#cache.clear();
    this.#cache.set(window.lo, window);
    return window;
  }

  #fetch(lo: number, hi: number): Window | null {
    const got = this.#port.read(lo, this.#scratch, 0, hi - lo);
    if (got === 0) return null;
    const bytes = this.#scratch.bytes.slice(0, got);
    return { lo, hi: lo + got, view: new DataView(bytes.buffer) };
  }

  /**
   * True if the byte at an address can be read: to look up ten thousand mappings takes ten thousand times as long. Where it cannot
   * be, the page counts as absent from then on.
   */
  #isThere(addr: number): boolean {
    const page = alignDown(addr as Addr, PAGE_BYTES);
    if (this.#absent.has(page)) return false;
    if (this.#port.isThere(addr)) return true;
    if (this.#absent.size < MOST_ABSENT) this.#absent.add(page);
    return false;
  }

  /** Returns false if they are not to be looked up any more. */
  #refresh(): boolean {
    if (this.#refreshes === MAX_REFRESHES) return false;
    this.#refreshes++;
    this.#mappings = readableOf(this.#currentMappings());
    return true;
  }

  #mappingOf(addr: number): Mapping | null {
    const mapping = this.#mappings[this.#firstEndingAbove(addr)];
    return mapping === undefined || addr < mapping.start ? null : mapping;
  }

  /** True if all of [lo, hi) is in mappings. */
  #covers(lo: number, hi: number): boolean {
    let at = lo;
    for (let mapping = this.#mappingOf(at); mapping !== null && at < hi; mapping = this.#mappingOf(at))
      at = mapping.end;
    return at >= hi;
  }

  /** Index of the first mapping that ends above an address. */
  #firstEndingAbove(addr: number): number {
    return firstIndex(this.#mappings.length, (i) => (this.#mappings[i]?.end ?? Infinity) > addr);
  }
}

function readableOf(mappings: readonly Mapping[]): readonly Mapping[] {
  return mappings.filter(({ readable, path }) => readable && !UNREADABLE.has(path));
}

import { alignDown, type Addr } from '../../snapshots/address.js';
import type { Mapping } from '../../snapshots/image.js';
import type { MemorySource, Range, Window } from '../../snapshots/memory.js';
import { Pinned } from '../libc.js';
import type { MemoryPort } from './memory-port.js';

const WINDOW_BYTES = 64 * 1024;
/** 16 MB in all; what is needed again is read again. */
const CACHED_WINDOWS = 256;
/** The smallest unit in which memory can be absent. */
const PAGE_BYTES = 4096;
/** Memory that the kernel shares with every process and lets nobody read from outside. */
const UNREADABLE = new Set(['[vvar]', '[vvar_vclock]', '[vsyscall]']);

/**
 * The memory of a running process, for the time before it is stopped: what is read once is kept, whether or not the
 * process has changed it since.
 */
export class ProcessMemory implements MemorySource {
  readonly #port: MemoryPort;
  readonly #mappings: readonly Mapping[];
  readonly #cache = new Map<number, Window>();
  readonly #scratch = new Pinned(WINDOW_BYTES);

  /** `mappings` are ascending. Those that are not readable are absent. */
  constructor(port: MemoryPort, mappings: readonly Mapping[]) {
    this.#port = port;
    this.#mappings = mappings.filter(({ readable, path }) => readable && !UNREADABLE.has(path));
  }

  window(addr: number): Window | null {
    const mapping = this.#mappings[this.#firstEndingAbove(addr)];
    if (mapping === undefined || addr < mapping.start) return null;
    const lo = Math.max(alignDown(addr as Addr, WINDOW_BYTES), mapping.start);
    const cached = this.#cache.get(lo);
    if (cached !== undefined && addr < cached.hi) return cached;
    const hi = Math.min(alignDown(addr as Addr, WINDOW_BYTES) + WINDOW_BYTES, mapping.end);
    const window = this.#fetch(lo, hi);
    if (window !== null && addr < window.hi) return this.#keep(window);
    // A page before this one is absent, as behind the end of a mapped file that was cut.
    const page = this.#fetch(Math.max(alignDown(addr as Addr, PAGE_BYTES), lo), hi);
    return page !== null && addr < page.hi ? page : null;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (let i = this.#firstEndingAbove(lo); i < this.#mappings.length; i++) {
      const mapping = this.#mappings[i];
      if (mapping === undefined || mapping.start >= hi) return;
      yield { lo: Math.max(lo, mapping.start) as Addr, hi: Math.min(hi, mapping.end) as Addr };
    }
  }

  /** Forgets what was read: the next reads see the process as it is then. Make a new `Memory` too: it keeps a window. */
  forget(): void {
    this.#cache.clear();
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

  #firstEndingAbove(addr: number): number {
    let lo = 0;
    let hi = this.#mappings.length;
    while (lo < hi) {
      const mid = Math.floor((lo + hi) / 2);
      if ((this.#mappings[mid]?.end ?? Infinity) <= addr) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }
}

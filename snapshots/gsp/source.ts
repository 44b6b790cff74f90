import { availableParallelism } from 'node:os';
import type { Addr } from '../address.js';
import type { MemorySource, Range, Window } from '../memory.js';
import type { SectionEntry } from './format.js';
import type { ReadAhead } from './read-ahead.js';
import { RangeTable } from './range-table.js';

/** How much uncompressed memory is cached, in bytes: all of a snapshot up to a size; of others at first, and where reads come back to what was dropped. */
const KEPT: KeptBytes = { whole: 128 * 2 ** 20, first: 64 * 2 ** 20, most: 256 * 2 ** 20 };
/** Fewer sections are read before another thread has begun. */
const LEAST_AHEAD = 64;

interface KeptBytes {
  readonly whole: number;
  readonly first: number;
  readonly most: number;
}

/** Reads sections of a file. */
export interface SectionReader {
  /** Returns the content of a section, or throws. */
  read(entry: SectionEntry): Uint8Array;
  /** Begins to read sections in another thread. `numbers` says which those of the list are. */
  readAhead?(entries: readonly SectionEntry[], numbers: readonly number[]): ReadAhead;
}

/**
 * The memory of a snapshot. A section is read, verified and uncompressed when one of its addresses is needed; the least
 * recently used ones are dropped. The memory of a damaged section is absent.
 *
 * Passes over memory in the order of its addresses need few sections at a time, others need many. So the cache of a large
 * snapshot begins small, and grows for a section that a larger one would still have had, once as much as it holds was read for the third time or
 * more often: two passes are usual, and to read a little again takes less than to keep all.
 */
export class SnapshotSource implements MemorySource {
  readonly #reader: SectionReader;
  readonly #sections: readonly SectionEntry[];
  readonly #table: RangeTable;
  /** Content by index of the section. */
  readonly #loaded = new Map<number, Uint8Array>();
  /** When each section was last used, on {@link #clock}. */
  readonly #usedAt: Float64Array;
  readonly #damage = new Map<number, string>();
  /** How often each section was read. */
  readonly #readings: Uint32Array;
  /** {@link #readBytes} when each section was dropped. */
  readonly #droppedAt: Float64Array;
  readonly #mostBytes: number;
  #keptBytes: number;
  #loadedBytes = 0;
  /** Of all sections that were read, those that were read again too. */
  #readBytes = 0;
  /** Of those that had been read twice before. */
  #repeatedBytes = 0;
  #clock = 0;
  #ahead: ReadAhead | null = null;

  /** Throws BytesError if the ranges of sections are impossible. */
  constructor(sections: readonly SectionEntry[], reader: SectionReader, kept: KeptBytes = KEPT) {
    this.#sections = sections;
    this.#reader = reader;
    const total = sections.reduce((sum, { rawBytes }) => sum + rawBytes, 0);
    this.#keptBytes = total <= kept.whole ? kept.whole : kept.first;
    this.#mostBytes = kept.most;
    this.#table = new RangeTable(sections);
    this.#usedAt = new Float64Array(sections.length);
    this.#readings = new Uint32Array(sections.length);
    this.#droppedAt = new Float64Array(sections.length);
  }

  /** One sentence for each section that was needed and could not be read. */
  get damage(): readonly string[] {
    return [...this.#damage.values()];
  }

  window(addr: number): Window | null {
    const i = this.#table.find(addr);
    if (i < 0) return null;
    this.#usedAt[this.#table.section[i] ?? 0] = ++this.#clock;
    return this.#open(i);
  }

  expect(addresses: Float64Array): void {
    this.stopReadingAhead();
    if (this.#reader.readAhead === undefined || availableParallelism() < 2) return;
    const numbers = new Set<number>();
    let last = -1;
    for (const addr of addresses) {
      const i = this.#table.find(addr);
      const section = i < 0 ? last : (this.#table.section[i] ?? last);
      if (section !== last && !this.#loaded.has(section)) numbers.add(section);
      last = section;
    }
    const entries = [...numbers].flatMap((number) => this.#sections[number] ?? []);
    if (entries.length >= LEAST_AHEAD) this.#ahead = this.#reader.readAhead(entries, [...numbers]);
  }

  /** Ends the thread that reads what was expected. */
  stopReadingAhead(): void {
    this.#ahead?.close();
    this.#ahead = null;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    const table = this.#table;
    for (let i = Math.max(0, table.lastAtOrBelow(lo)); i < table.count; i++) {
      const start = table.lo[i] ?? 0;
      const end = table.hi[i] ?? 0;
      if (start >= hi) return;
      if (end <= lo || this.#damage.has(table.section[i] ?? 0)) continue;
      yield { lo: Math.max(lo, start) as Addr, hi: Math.min(hi, end) as Addr };
    }
  }

  absence(addr: number): string | null {
    const i = this.#table.find(addr);
    return i < 0 ? null : (this.#damage.get(this.#table.section[i] ?? 0) ?? null);
  }

  /** Windows are not cached: a snapshot may have millions of ranges, and Memory keeps the window that it is in. */
  #open(i: number): Window | null {
    const table = this.#table;
    const bytes = this.#section(table.section[i] ?? 0);
    if (bytes === null) return null;
    const lo = table.lo[i] ?? 0;
    const hi = table.hi[i] ?? 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset + (table.offset[i] ?? 0), hi - lo);
    return { lo, hi, view };
  }

  #section(section: number): Uint8Array | null {
    const kept = this.#loaded.get(section);
    if (kept !== undefined) return kept;
    const entry = this.#sections[section];
    if (entry === undefined || this.#damage.has(section)) return null;
    try {
      const bytes = this.#ahead?.take(section) ?? this.#reader.read(entry);
      this.#growFor(section, bytes.length);
      this.#makeRoom(bytes.length);
      this.#readBytes += bytes.length;
      this.#loaded.set(section, bytes);
      this.#loadedBytes += bytes.length;
      return bytes;
    } catch (error) {
      this.#damage.set(section, error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  /** Has the cache grow if it should have kept a section that is read, and others before. */
  #growFor(section: number, bytes: number): void {
    const readings = (this.#readings[section] = (this.#readings[section] ?? 0) + 1);
    if (readings <= 2) return;
    this.#repeatedBytes += bytes;
    if (this.#repeatedBytes < this.#keptBytes) return;
    const needed = this.#keptBytes + this.#readBytes - (this.#droppedAt[section] ?? 0);
    this.#keptBytes = Math.min(needed, this.#mostBytes);
  }

  #makeRoom(bytes: number): void {
    while (this.#loaded.size > 0 && this.#loadedBytes + bytes > this.#keptBytes) {
      let oldest = -1;
      for (const section of this.#loaded.keys()) {
        if (oldest < 0 || (this.#usedAt[section] ?? 0) < (this.#usedAt[oldest] ?? 0)) oldest = section;
      }
      this.#loadedBytes -= this.#loaded.get(oldest)?.length ?? 0;
      this.#loaded.delete(oldest);
      this.#droppedAt[oldest] = this.#readBytes;
    }
  }
}

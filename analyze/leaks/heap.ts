import type { Addr } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
import { PAGE_BYTES, type Spans } from './spans.js';

/** Bits of {@link Heap.state}. */
const ALLOCATED = 1;
const MARKED = 2;
const WANTED = 4;
const HELD_BACK = 8;

/** The address space is divided into blocks of 2^26 bytes, as the runtime's arenas are; each has so many pages. */
const BLOCK_BITS = 26;
const BLOCK_PAGES = 2 ** BLOCK_BITS / PAGE_BYTES;
const PAGE_BITS = 13;
const BLOCKS_IN_4GB = 2 ** (32 - BLOCK_BITS);
const TWO_32 = 2 ** 32;
/** The upper half of a word that is an address. */
const HIGHEST_HALF = 0xffff;

/** References are kept in pieces of so many. */
const PIECE_BITS = 20;
const PIECE = 2 ** PIECE_BITS;
/** Bytes that are read before others get their turn. */
const STEP_BYTES = 2 ** 24;
/** Objects that are marked before others get their turn. */
const STEP_OBJECTS = 2 ** 20;

/**
 * The objects of a heap and the references between them. A word refers to an object if it is an address in it, whether or
 * not its type is a pointer: objects are reached that the collector would free, and none that it keeps is missed.
 */
export class Heap {
  readonly #spans: Spans;
  readonly #firstBlock: number;
  /** By block, where its pages begin in `#pages`; -1 for a block without spans. */
  readonly #blocks: Int32Array;
  /** By page, its span; -1 for none. */
  readonly #pages: Int32Array;
  /** By object. */
  readonly #state: Uint8Array;
  /** By object that may hold pointers, where its references begin. */
  readonly #first: Uint32Array;
  readonly #pieces: Uint32Array[] = [];
  #references = 0;
  #pending = new Uint32Array(2 ** 12);
  #pendingCount = 0;
  /** Called with each wanted object as it is reached. */
  #reached: (id: number) => void = () => undefined;

  /** Throws MemoryFault where a bitmap of allocated objects is absent. */
  constructor(memory: Memory, spans: Spans) {
    this.#spans = spans;
    const last = spans.length - 1;
    const end = (spans.base[last] ?? 0) + (spans.pages[last] ?? 0) * PAGE_BYTES;
    this.#firstBlock = Math.floor((spans.base[0] ?? 0) / 2 ** BLOCK_BITS);
    this.#blocks = new Int32Array(Math.ceil(end / 2 ** BLOCK_BITS) - this.#firstBlock).fill(-1);
    this.#pages = this.#placeSpans();
    this.#state = new Uint8Array(spans.objects);
    this.#first = new Uint32Array(spans.scannable + 1);
    this.#readAllocated(memory);
  }

  #placeSpans(): Int32Array {
    const { length, base, pages } = this.#spans;
    let count = 0;
    for (let i = 0; i < length; i++) {
      const from = Math.floor((base[i] ?? 0) / 2 ** BLOCK_BITS) - this.#firstBlock;
      const to = Math.ceil(((base[i] ?? 0) + (pages[i] ?? 0) * PAGE_BYTES) / 2 ** BLOCK_BITS) - this.#firstBlock;
      for (let block = from; block < to; block++) {
        if (this.#blocks[block] !== -1) continue;
        this.#blocks[block] = count;
        count += BLOCK_PAGES;
      }
    }
    const out = new Int32Array(count).fill(-1);
    for (let i = 0; i < length; i++) {
      const first = (base[i] ?? 0) / PAGE_BYTES - this.#firstBlock * BLOCK_PAGES;
      for (let page = first; page < first + (pages[i] ?? 0); page++) {
        out[(this.#blocks[Math.floor(page / BLOCK_PAGES)] ?? 0) + (page % BLOCK_PAGES)] = i;
      }
    }
    return out;
  }

  #readAllocated(memory: Memory): void {
    const { length, elems, freeIndex, allocBits, firstId } = this.#spans;
    for (let i = 0; i < length; i++) {
      const [count, free, first] = [elems[i] ?? 0, freeIndex[i] ?? 0, firstId[i] ?? 0];
      this.#state.fill(ALLOCATED, first, first + free);
      if (free === count) continue;
      const bits = memory.bytes((allocBits[i] ?? 0) as Addr, Math.ceil(count / 8));
      for (let k = free; k < count; k++) {
        if ((((bits[k >>> 3] ?? 0) >>> (k & 7)) & 1) === 1) this.#state[first + k] = ALLOCATED;
      }
    }
  }

  /**
   * The object that a word points into, as its number; -1 where it is none, -2 where the object there is free. `hi` and `lo` are
   * the halves of the word.
   */
  #objectAt(lo: number, hi: number): number {
    const block = hi * BLOCKS_IN_4GB + (lo >>> BLOCK_BITS) - this.#firstBlock;
    if (block < 0 || block >= this.#blocks.length) return -1;
    const place = this.#blocks[block] ?? -1;
    if (place < 0) return -1;
    const span = this.#pages[place + ((lo >>> PAGE_BITS) & (BLOCK_PAGES - 1))] ?? -1;
    if (span < 0) return -1;
    const { base, elemBytes, elems, firstId } = this.#spans;
    const index = Math.floor((hi * TWO_32 + lo - (base[span] ?? 0)) / (elemBytes[span] ?? 1));
    if (index >= (elems[span] ?? 0)) return -1;
    const id = (firstId[span] ?? 0) + index;
    return ((this.#state[id] ?? 0) & ALLOCATED) === 0 ? -2 : id;
  }

  /** As the marking sees an address: the object that it is in, `'free'` where that is not in use, null outside of the heap. */
  objectOf(addr: number): number | 'free' | null {
    const id = this.#objectAt(addr % TWO_32, Math.floor(addr / TWO_32));
    return id >= 0 ? id : id === -2 ? 'free' : null;
  }

  /**
   * Reads all references between objects, but for those in the words of `hidden`; `progress` is called with the bytes that were
   * read so far. Throws MemoryFault where a part of the heap is absent.
   */
  *readReferences(memory: Memory, hidden: Runs, progress: (bytes: number) => void): Generator<void> {
    const { length, base, elemBytes, elems, noscan, firstId } = this.#spans;
    let read = 0;
    let done = 0;
    for (let i = 0; i < length; i++) {
      if (noscan[i] === 1) continue;
      const [from, bytes, first, count] = [base[i] ?? 0, elemBytes[i] ?? 8, firstId[i] ?? 0, elems[i] ?? 0];
      const hides = hidden.touches(from, from + count * bytes);
      for (let k = 0; k < count; k++) {
        const id = first + k;
        this.#first[id] = this.#references;
        if (this.#state[id] === 0) continue;
        const at = from + k * bytes;
        this.#addReferences(memory, id, at, at + bytes, hides && hidden.touches(at, at + bytes) ? hidden : null);
        if ((read += bytes) < STEP_BYTES) continue;
        progress((done += read));
        read = 0;
        yield;
      }
    }
    this.#first[this.#spans.scannable] = this.#references;
  }

  #addReferences(memory: Memory, own: number, from: number, to: number, hidden: Runs | null): void {
    let last = own;
    for (let at = from; at < to;) {
      const { lo, hi, view } = memory.around(at as Addr);
      const end = Math.min(to, hi - 7);
      for (; at < end; at += 8) {
        const high = view.getUint32(at - lo + 4, true);
        if (high === 0 || high > HIGHEST_HALF) continue;
        const id = this.#objectAt(view.getUint32(at - lo, true), high);
        if (id < 0 || id === last || id === own || hidden?.touches(at, at + 8) === true) continue;
        last = id;
        this.#add(id);
      }
      if (at >= hi || at >= to) continue;
      // A word whose bytes lie in two windows.
      const id = this.#objectAt(memory.u32(at as Addr), memory.u32(at as Addr, 4));
      if (id >= 0 && hidden?.touches(at, at + 8) !== true) this.#add(id);
      at += 8;
    }
  }

  #add(id: number): void {
    const place = this.#references & (PIECE - 1);
    const piece = this.#references >>> PIECE_BITS;
    const into = (this.#pieces[piece] ??= new Uint32Array(PIECE));
    into[place] = id;
    this.#references++;
  }

  /** Has `reached` called once with each of some objects, as soon as it is reached. */
  await(objects: Iterable<number>, reached: (id: number) => void): void {
    for (const id of objects) this.#state[id] = (this.#state[id] ?? 0) | WANTED;
    this.#reached = reached;
  }

  /** Holds back the object that an address is in, if any: what it refers to is not marked before {@link release}. */
  holdBack(addr: Addr): void {
    const id = this.objectOf(addr);
    if (typeof id === 'number') this.#state[id] = (this.#state[id] ?? 0) | HELD_BACK;
  }

  /** Lets an object go that was held back: what it refers to is marked by {@link drain} if it is marked itself. */
  release(addr: Addr): void {
    const id = this.objectOf(addr);
    const state = typeof id === 'number' ? (this.#state[id] ?? 0) : 0;
    if (typeof id !== 'number' || (state & HELD_BACK) === 0) return;
    this.#state[id] = state & ~HELD_BACK;
    if ((state & MARKED) !== 0) this.#push(id);
  }

  /** Marks the object that a word points into: what it refers to is marked by {@link drain}. */
  markWord(lo: number, hi: number): void {
    if (hi > HIGHEST_HALF) return;
    const id = this.#objectAt(lo, hi);
    if (id >= 0) this.#mark(id);
  }

  /** Marks what the words from `from` to `to` point at; the address must be a multiple of 8. Throws MemoryFault. */
  markRange(memory: Memory, from: number, to: number): void {
    for (let at = from; at + 8 <= to;) {
      const { lo, hi, view } = memory.around(at as Addr);
      const end = Math.min(to, hi) - 7;
      for (; at < end; at += 8) this.markWord(view.getUint32(at - lo, true), view.getUint32(at - lo + 4, true));
      if (at >= hi || at + 8 > to) continue;
      // A word whose bytes lie in two windows.
      this.markWord(memory.u32(at as Addr), memory.u32(at as Addr, 4));
      at += 8;
    }
  }

  #mark(id: number): void {
    const state = this.#state[id] ?? 0;
    if ((state & MARKED) !== 0) return;
    this.#state[id] = state | MARKED;
    if ((state & WANTED) !== 0) this.#reached(id);
    if ((state & HELD_BACK) === 0) this.#push(id);
  }

  #push(id: number): void {
    if (id >= this.#spans.scannable) return;
    if (this.#pendingCount === this.#pending.length) {
      const grown = new Uint32Array(2 * this.#pendingCount);
      grown.set(this.#pending);
      this.#pending = grown;
    }
    this.#pending[this.#pendingCount++] = id;
  }

  /** Marks all that marked objects refer to, up to a million. Returns whether there is more to do. */
  drain(): boolean {
    let done = 0;
    while (this.#pendingCount > 0 && done < STEP_OBJECTS) {
      const id = this.#pending[--this.#pendingCount] ?? 0;
      const end = this.#first[id + 1] ?? 0;
      for (let i = this.#first[id] ?? 0; i < end; i++) {
        this.#mark(this.#pieces[i >>> PIECE_BITS]?.[i & (PIECE - 1)] ?? 0);
      }
      done++;
    }
    return this.#pendingCount > 0;
  }
}

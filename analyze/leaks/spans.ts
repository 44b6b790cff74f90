import type { Addr } from '../../snapshots/address.js';
import { ascendingOrder } from '../../snapshots/ascending-order.js';
import { Memory, onFault } from '../../snapshots/memory.js';
import { sliceHeaders } from '../runtime/global-scan.js';
import type { GoRuntime } from '../runtime/go-runtime.js';
import type { Layouts } from '../runtime/layouts.js';
import { NotProvable } from './not-provable.js';

/** The unit in which spans are made (_PageSize in malloc.go). */
export const PAGE_BYTES = 8192;
/** mSpanInUse (mheap.go): the span holds objects of the collected heap. The states end at 3 (mSpanDead before 1.14 is 0). */
const IN_USE = 1;
const MAX_STATE = 3;
/** A span beyond these is damaged: 64 GB in one object, and as many bytes of objects in one span. */
const MAX_PAGES = 2 ** 23;
/** More spans would be a heap of 2 TB. */
const MAX_SPANS = 2 ** 28;
/** More pages and objects than a process can be expected to have room for here: 1 TB, and 2^29 objects. */
const MAX_ALL_PAGES = 2 ** 27;
const MAX_OBJECTS = 2 ** 29;
/** Spans of a list that are looked at first to tell whether it is mheap_.allspans. */
const SAMPLES = 64;

/**
 * The spans of the heap that are in use, by address: runtime.mspan in mheap.go. `firstId` numbers their objects: first all
 * objects that may hold pointers, span by span, then all others.
 */
export interface Spans {
  readonly length: number;
  readonly base: Float64Array;
  readonly pages: Uint32Array;
  readonly elemBytes: Float64Array;
  readonly elems: Uint32Array;
  /** 1 where no object of the span holds pointers. */
  readonly noscan: Uint8Array;
  /** The first of the span's specials, or 0. */
  readonly specials: Float64Array;
  /** Objects below this index are in use; those above if their bit in the bitmap at `allocBits` is set. */
  readonly freeIndex: Uint32Array;
  readonly allocBits: Float64Array;
  readonly firstId: Float64Array;
  /** How many objects may hold pointers, and how many there are. */
  readonly scannable: number;
  readonly objects: number;
  /** Bytes of the spans whose objects may hold pointers. */
  readonly scanBytes: number;
}

/**
 * Reads mheap_.allspans. Throws {@link NotProvable} where it is not found, has more than `maxSpans` or a span is damaged, and
 * MemoryFault.
 */
export function readSpans({ layouts, code }: GoRuntime, memory: Memory, maxSpans = MAX_SPANS): Spans {
  const reader = new SpanReader(memory, layouts);
  const list = findAllSpans(memory, code, reader);
  if (list.length > maxSpans) throw new NotProvable(`the heap has ${list.length} spans`);
  const inUse = new Float64Array(list.length);
  let count = 0;
  for (let i = 0; i < list.length; i++) {
    const span = memory.ptr(list.data, 8 * i);
    if (reader.isInUse(span)) inUse[count++] = span;
  }
  return columnsOf(reader, inUse.subarray(0, count));
}

function columnsOf(reader: SpanReader, inUse: Float64Array): Spans {
  const { length } = inUse;
  const order = ascendingOrder(inUse.map((span) => reader.base(span as Addr)));
  const [base, elemBytes, specials, allocBits] = [0, 0, 0, 0].map(() => new Float64Array(length)) as Columns;
  const [pages, elems, freeIndex] = [0, 0, 0].map(() => new Uint32Array(length)) as Counts;
  const noscan = new Uint8Array(length);
  let end = 0;
  for (const [i, index] of order.entries()) {
    const span = (inUse[index] ?? 0) as Addr;
    if (!reader.isPlausible(span) || reader.base(span) < end)
      throw new NotProvable('a span of the heap is damaged, or it changed while it was read');
    base[i] = reader.base(span);
    pages[i] = reader.pages(span);
    elemBytes[i] = reader.elemBytes(span);
    elems[i] = reader.elems(span);
    freeIndex[i] = reader.freeIndex(span);
    allocBits[i] = reader.allocBits(span);
    specials[i] = reader.specials(span);
    noscan[i] = reader.isNoscan(span) ? 1 : 0;
    end = reader.base(span) + reader.pages(span) * PAGE_BYTES;
  }
  const firstId = new Float64Array(length);
  let id = 0;
  let scannable = 0;
  let scanBytes = 0;
  for (const pass of [0, 1]) {
    for (let i = 0; i < length; i++) {
      if (noscan[i] !== pass) continue;
      firstId[i] = id;
      id += elems[i] ?? 0;
      if (pass === 0) scanBytes += (pages[i] ?? 0) * PAGE_BYTES;
    }
    if (pass === 0) scannable = id;
  }
  const allPages = pages.reduce((sum, count) => sum + count, 0);
  if (allPages > MAX_ALL_PAGES || id > MAX_OBJECTS) throw new NotProvable('the heap is too large');
  return {
    ...{ length, base, pages, elemBytes, elems, noscan, specials, freeIndex, allocBits, firstId },
    ...{ scannable, objects: id, scanBytes },
  };
}

type Columns = [Float64Array, Float64Array, Float64Array, Float64Array];
type Counts = [Uint32Array, Uint32Array, Uint32Array];

/** The longest list of pointers to spans in the data of the runtime's module: nothing else in it has their shape. */
function findAllSpans(memory: Memory, code: GoRuntime['code'], reader: SpanReader): { data: Addr; length: number } {
  const [table] = code.modules;
  let best: { data: Addr; length: number } | null = null;
  for (const at of table === undefined ? [] : sliceHeaders(memory, table.module)) {
    const data = memory.ptr(at);
    const length = writtenOf(memory, data, memory.word(at, 8));
    if (length > (best?.length ?? 0) && length <= MAX_SPANS && isSpanList(memory, data, length, reader))
      best = { data, length };
  }
  if (best === null) throw new NotProvable("the list of the heap's spans was not found");
  return best;
}

/** How many elements of a list of pointers are written: its length is, before the last of them (recordspan in mheap.go). */
function writtenOf(memory: Memory, data: Addr, length: number): number {
  return length > 0 && memory.wordOr0(data, 8 * (length - 1)) === 0 ? length - 1 : length;
}

/** Whether a list is one of spans: those that are looked at can be, and at least one of all is in use, however few are left of a heap. */
function isSpanList(memory: Memory, data: Addr, length: number, reader: SpanReader): boolean {
  return onFault(
    () => {
      const samples = Math.min(SAMPLES, length);
      for (let i = 0; i < samples; i++) {
        const sample = Math.floor((i * (length - 1)) / Math.max(1, samples - 1));
        if (!reader.isPlausible(memory.ptr(data, 8 * sample))) return false;
      }
      for (let i = 0; i < length; i++) {
        const span = memory.ptr(data, 8 * i);
        if (reader.isInUse(span)) return reader.isPlausible(span);
      }
      return false;
    },
    () => false,
  );
}

/** Reads fields of runtime.mspan with the offsets of one release. All throw MemoryFault where it is absent. */
class SpanReader {
  readonly #memory: Memory;
  readonly #at;
  readonly #shortCounts: boolean;

  constructor(memory: Memory, layouts: Layouts) {
    const span = layouts.of('mspan');
    this.#memory = new Memory(memory.source);
    this.#at = {
      startAddr: span.offset('startAddr'),
      npages: span.offset('npages'),
      freeindex: span.offset('freeindex'),
      nelems: span.offset('nelems'),
      allocBits: span.offset('allocBits'),
      spanclass: span.offset('spanclass'),
      state: span.offset('state'),
      elemsize: span.offset('elemsize'),
      specials: span.offset('specials'),
    };
    // freeindex and nelems are uint16 from Go 1.22 on, and lie next to each other then.
    this.#shortCounts = this.#at.nelems - this.#at.freeindex < 8;
  }

  isInUse(span: Addr): boolean {
    return this.#memory.u8(span, this.#at.state) === IN_USE;
  }

  base(span: Addr): number {
    return this.#memory.word(span, this.#at.startAddr);
  }

  pages(span: Addr): number {
    return this.#memory.word(span, this.#at.npages);
  }

  elemBytes(span: Addr): number {
    return this.#memory.word(span, this.#at.elemsize);
  }

  elems(span: Addr): number {
    return this.#count(span, this.#at.nelems);
  }

  freeIndex(span: Addr): number {
    return this.#count(span, this.#at.freeindex);
  }

  allocBits(span: Addr): number {
    return this.#memory.word(span, this.#at.allocBits);
  }

  specials(span: Addr): number {
    return this.#memory.word(span, this.#at.specials);
  }

  /** The lowest bit of the span's class (spanClass.noscan in mheap.go). */
  isNoscan(span: Addr): boolean {
    return this.#memory.u8(span, this.#at.spanclass) % 2 === 1;
  }

  /** True for what may be a span; one that is not in use may have any other field. */
  isPlausible(span: Addr): boolean {
    if (span === 0 || span % 8 !== 0 || this.#memory.u8(span, this.#at.state) > MAX_STATE) return false;
    if (!this.isInUse(span)) return true;
    const pages = this.pages(span);
    const bytes = this.elemBytes(span);
    const elems = this.elems(span);
    const isWhole = this.base(span) > 0 && this.base(span) % PAGE_BYTES === 0 && this.base(span) < 2 ** 48;
    const isFilled = bytes >= 8 && bytes % 8 === 0 && elems > 0 && elems * bytes <= pages * PAGE_BYTES;
    return isWhole && pages <= MAX_PAGES && isFilled && this.freeIndex(span) <= elems;
  }

  #count(span: Addr, offset: number): number {
    return this.#shortCounts ? this.#memory.u16(span, offset) : this.#memory.word(span, offset);
  }
}

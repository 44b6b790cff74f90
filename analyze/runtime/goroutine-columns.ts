import { ADDR_LIMIT, type Addr } from '../../snapshots/address.js';
import { ascendingOrder } from '../../snapshots/ascending-order.js';
import { wordAt } from '../../snapshots/bytes.js';
import { Memory, onFault, type Window } from '../../snapshots/memory.js';
import { areStackBounds, GOROUTINE_STATUSES, GSCAN, STATUSES, type G, type GoroutineReader } from './goroutine.js';

/** Stands in {@link GoroutineColumns.status} for a g that cannot be read. */
const UNREADABLE = 255;
const DEAD = STATUSES.indexOf('dead');
/** Index into {@link STATUSES} by the runtime's number; {@link UNREADABLE} for numbers that are no status. */
const STATUS_INDEX = Uint8Array.from(GOROUTINE_STATUSES, (status) =>
  status === null ? UNREADABLE : STATUSES.indexOf(status),
);

/**
 * The goroutines of an image, a column for each field of {@link G}: a million take about 100 MB, most of them for the
 * fields that are not 0 (pages that nothing is written to take no memory). Rows are in the order of the addresses of the
 * gs, which is how an image holds them: filling the columns reads each part of it once. Ended goroutines have no row.
 */
export class GoroutineColumns {
  /** Rows in the order of goroutine ids; equal ids, which only damaged gs have, in the order of runtime.allgs. */
  readonly byGoid: Uint32Array;
  readonly addr: Float64Array;
  /** 0 where it is not in the image. */
  readonly goid: Float64Array;
  /** Index into {@link STATUSES}. */
  readonly status: Uint8Array;
  readonly waitreason: Uint8Array;
  readonly waitsince: Float64Array;
  readonly trackingSeq: Uint8Array | null;
  readonly stackLo: Float64Array;
  readonly stackHi: Float64Array;
  readonly schedSp: Float64Array;
  readonly schedPc: Float64Array;
  readonly schedLr: Float64Array;
  readonly stktopsp: Float64Array;
  readonly syscallsp: Float64Array;
  readonly syscallpc: Float64Array;
  readonly m: Float64Array;
  readonly lockedm: Float64Array;
  readonly gopc: Float64Array;
  readonly startpc: Float64Array;
  readonly parentGoid: Float64Array | null;
  readonly labels: Float64Array;
  readonly ancestors: Float64Array;
  /** The columns of words, each with its offset in a g. */
  readonly #words: readonly Word[];
  /** Offsets of the words that must be pointers. */
  readonly #pointers: readonly number[];
  readonly #memory: Memory;
  readonly #reader: GoroutineReader;
  #length = 0;

  /** Reads the gs at `addresses`, which are in the order of runtime.allgs. */
  constructor(memory: Memory, reader: GoroutineReader, addresses: Float64Array) {
    const n = addresses.length;
    const at = reader.offsets;
    const words: Word[] = [];
    const word = (offset: number): Float64Array => {
      const column = new Float64Array(n);
      words.push({ column, offset });
      return column;
    };
    this.addr = new Float64Array(n);
    this.goid = word(at.goid);
    this.status = new Uint8Array(n);
    this.waitreason = new Uint8Array(n);
    this.waitsince = word(at.waitsince);
    this.trackingSeq = at.trackingSeq === null ? null : new Uint8Array(n);
    this.stackLo = word(at.stack);
    this.stackHi = word(at.stack + 8);
    this.schedSp = word(at.schedSp);
    this.schedPc = word(at.schedPc);
    this.schedLr = word(at.schedLr);
    this.stktopsp = word(at.stktopsp);
    this.syscallsp = word(at.syscallsp);
    this.syscallpc = word(at.syscallpc);
    this.m = word(at.m);
    this.lockedm = word(at.lockedm);
    this.gopc = word(at.gopc);
    this.startpc = word(at.startpc);
    this.parentGoid = at.parentGoid === null ? null : word(at.parentGoid);
    this.labels = word(at.labels);
    this.ancestors = word(at.ancestors);
    this.#words = words;
    this.#pointers = [at.stack, at.stack + 8, at.m, at.lockedm, at.labels, at.ancestors];
    this.#memory = new Memory(memory.source);
    this.#reader = reader;
    this.byGoid = this.#fill(addresses);
  }

  /** How many rows there are: one for each goroutine that has not ended, and for each that cannot be read. */
  get length(): number {
    return this.#length;
  }

  /** Rows in the order of the addresses of their stacks, which are to be read in this order next. */
  byStack(): Uint32Array {
    const rows = ascendingOrder(this.stackLo.subarray(0, this.#length));
    const tops = Float64Array.from(rows, (row) => (this.syscallsp[row] ?? 0) || (this.schedSp[row] ?? 0));
    this.#memory.source.expect?.(tops);
    return rows;
  }

  isReadable(row: number): boolean {
    return this.status[row] !== UNREADABLE;
  }

  /** The goroutine of a row that {@link isReadable}. */
  at(row: number): G {
    return {
      addr: wordOf(this.addr, row) as Addr,
      goid: wordOf(this.goid, row),
      status: STATUSES[this.status[row] ?? DEAD] ?? 'dead',
      waitreason: this.waitreason[row] ?? 0,
      waitsince: wordOf(this.waitsince, row),
      trackingSeq: this.trackingSeq === null ? null : (this.trackingSeq[row] ?? 0),
      stack: { lo: wordOf(this.stackLo, row) as Addr, hi: wordOf(this.stackHi, row) as Addr },
      sched: { sp: wordOf(this.schedSp, row), pc: wordOf(this.schedPc, row), lr: wordOf(this.schedLr, row) },
      stktopsp: wordOf(this.stktopsp, row),
      syscallsp: wordOf(this.syscallsp, row),
      syscallpc: wordOf(this.syscallpc, row),
      m: wordOf(this.m, row) as Addr,
      lockedm: wordOf(this.lockedm, row) as Addr,
      gopc: wordOf(this.gopc, row),
      startpc: wordOf(this.startpc, row),
      parentGoid: this.parentGoid === null ? null : wordOf(this.parentGoid, row),
      labels: wordOf(this.labels, row) as Addr,
      ancestors: wordOf(this.ancestors, row) as Addr,
    };
  }

  /** Returns the rows by id. */
  #fill(addresses: Float64Array): Uint32Array {
    /** By index of the address, one more than its row; 0 where it has none. */
    const rows = new Uint32Array(addresses.length);
    const order = ascendingOrder(addresses);
    this.#memory.source.expect?.(Float64Array.from(order, (i) => addresses[i] ?? 0));
    for (const i of order) {
      if (this.#add((addresses[i] ?? 0) as Addr)) rows[i] = this.#length;
    }
    const listed = rows.filter((row) => row > 0).map((row) => row - 1);
    const goids = Float64Array.from(listed, (row) => this.goid[row] ?? 0);
    return ascendingOrder(goids).map((i) => listed[i] ?? 0);
  }

  /** Adds the goroutine at an address, unless it has ended. Returns whether it did. */
  #add(address: Addr): boolean {
    const added = onFault(
      () => this.#addWhole(address, this.#memory.around(address)) ?? this.#addChecked(address),
      () => null,
    );
    if (added !== null) return added;
    this.goid[this.#length] = this.#reader.goidAt(address);
    this.#addRow(address, UNREADABLE);
    return true;
  }

  /** Adds a goroutine whose g lies in a window; null where it does not, or has words that have to be checked. */
  #addWhole(address: Addr, { lo, hi, view }: Window): boolean | null {
    const { offsets: at, sizeBytes } = this.#reader;
    if (address + sizeBytes > hi) return null;
    const base = address - lo;
    const status = STATUS_INDEX[view.getUint32(base + at.atomicstatus, true) & ~GSCAN] ?? UNREADABLE;
    if (status === DEAD) return false;
    if (status === UNREADABLE || !areStackBounds(wordAt(view, base + at.stack), wordAt(view, base + at.stack + 8)))
      return null;
    for (const offset of this.#pointers) if (wordAt(view, base + offset) >= ADDR_LIMIT) return null;
    const row = this.#length;
    for (const { column, offset } of this.#words) {
      const value = wordAt(view, base + offset);
      // Pages of zeros stay untouched.
      if (value !== 0) column[row] = value;
    }
    this.waitreason[row] = view.getUint8(base + at.waitreason);
    if (this.trackingSeq !== null) this.trackingSeq[row] = view.getUint8(base + (at.trackingSeq ?? 0));
    this.#addRow(address, status);
    return true;
  }

  /** Adds a goroutine whose words are read one by one. Throws MemoryFault where they cannot be a g's. */
  #addChecked(address: Addr): boolean {
    const reader = this.#reader;
    if (reader.isDead(address)) return false;
    const { status, waitreason, trackingSeq } = reader.read(address);
    const row = this.#length;
    for (const { column, offset } of this.#words) column[row] = this.#memory.word(address, offset);
    this.waitreason[row] = waitreason;
    if (this.trackingSeq !== null) this.trackingSeq[row] = trackingSeq ?? 0;
    this.#addRow(address, STATUSES.indexOf(status));
    return true;
  }

  #addRow(address: Addr, status: number): void {
    this.addr[this.#length] = address;
    this.status[this.#length] = status;
    this.#length++;
  }
}

/**
 * A word of a column, as a small integer of the engine's where it is one: else each 0 of each goroutine would be a number
 * object of its own, and slow as a key of a Map.
 */
function wordOf(column: Float64Array, row: number): number {
  const word = column[row] ?? 0;
  const integer = word | 0;
  return integer === word ? integer : word;
}

/** A column, and the offset of the word in a g that it holds. */
interface Word {
  readonly column: Float64Array;
  readonly offset: number;
}

import type { Addr } from '../../snapshots/address.js';
import { firstAbove, firstIndex } from '../../snapshots/binary-search.js';
import { OpenChunk, type MemoryGroup } from '../../snapshots/gsp/chunks.js';
import { IN_FLIGHT } from '../../snapshots/gsp/compress.js';
import { Limit } from '../../snapshots/gsp/format.js';
import { ReadyChunk } from '../../snapshots/gsp/ready-chunk.js';
import type { MemorySource, Range, Segment, Window } from '../../snapshots/memory.js';
import type { Runs } from '../../snapshots/runs.js';
import { nextMarked, type StackPlan } from '../../analyze/runtime/stack-plan.js';
import type { CopySource } from './late-reads.js';
import { readStacks, type ReadStack } from './stack-batches.js';

/** Stacks of so many bytes together are kept as they are; of more, the chunks are packed as they fill. */
const PLAIN_BYTES = 256 << 20;
/** When chunks are packed: if they are too many to be kept as they are, or always, since a file will be written. */
export type Packing = 'if many' | 'always';

/** What is done with stacks as they are read. */
export interface StackLooks {
  readonly isWanted: (stack: ReadStack) => boolean;
  readonly look: (stack: ReadStack) => void;
}

/** Unpacked chunks that are kept. */
const UNPACKED = 64;

/**
 * The stacks of parked goroutines as they were read ahead of a stop: the parts in use, one behind the other, in chunks as a
 * snapshot has them. A stack that is read again later is dropped here.
 */
export class StoredStacks implements MemorySource {
  /** What {@link offsetOf} found last is in here. */
  view: DataView = new DataView(new ArrayBuffer(0));
  readonly #plan: StackPlan;
  readonly #source: CopySource;
  readonly #plainBytes: number;
  readonly #chunks: ReadyChunk[] = [];
  /** By chunk, its first piece. */
  readonly #firstOf: number[] = [];
  /** Pieces of stacks, ascending: one a goroutine, and one more where a chunk ends within a stack. */
  #lo = new Float64Array(0);
  #hi = new Float64Array(0);
  #offset = new Uint32Array(0);
  #owner = new Uint32Array(0);
  #count = 0;
  #last = 0;
  /** By index of a goroutine, 1 if its stack does not count. */
  readonly #dropped: Uint8Array;
  /** By piece, 1 if it does not count. */
  #evicted = new Uint8Array(0);
  #isFilled = false;
  readonly #unpacked = new Map<number, Uint8Array>();

  /** `plainBytes`: of more than these, {@link fillPacked} packs the chunks. */
  constructor(plan: StackPlan, source: CopySource, plainBytes = PLAIN_BYTES) {
    this.#plan = plan;
    this.#source = source;
    this.#plainBytes = plainBytes;
    this.#dropped = new Uint8Array(plan.goroutines.length);
  }

  get isFilled(): boolean {
    return this.#isFilled;
  }

  /** Bytes of the stacks that were read. */
  get sizeBytes(): number {
    return this.#chunks.reduce((sum, { rawBytes }) => sum + rawBytes, 0);
  }

  /** By index of a goroutine, 1 if its stack is not here. */
  get dropped(): Uint8Array {
    return this.#dropped;
  }

  /** True if the stack of the goroutine whose g is at an address is here. */
  holds(g: number): boolean {
    return this.#dropped[this.#plan.indexOf(g)] === 0;
  }

  /** Indices of the goroutines whose stacks are here, in the order of their stacks. */
  *owners(): Iterable<number> {
    let last = -1;
    for (let i = 0; i < this.#count; i++) {
      const owner = this.#owner[i] ?? 0;
      if (owner !== last && this.#dropped[owner] === 0) yield owner;
      last = owner;
    }
  }

  /**
   * Reads and keeps the stacks that `records` tell of, except those of goroutines marked by a 1 in `passedOver`, which count
   * as dropped. What cannot be read counts as dropped too.
   */
  fill(records: DataView, passedOver: Uint8Array): void {
    const take = (): Uint8Array => new Uint8Array(Limit.chunk);
    for (const chunk of this.#fill(records, passedOver, take, () => true)) this.#chunks.push(chunk);
  }

  /**
   * As {@link fill}, and packs the chunks as they fill. If they are few the bytes are kept beside, and `packing` says whether
   * there is a use for that; if not, they take no more memory than in a file. Then stacks that `isWanted` does not want are
   * left out: they count as dropped. Where they are packed, `look` is called with each stack that is kept.
   */
  async fillPacked(
    records: DataView,
    passedOver: Uint8Array,
    packing: Packing,
    { isWanted, look }: StackLooks,
  ): Promise<void> {
    const areFew = this.#bytesIn(records, passedOver) <= this.#plainBytes;
    if (areFew && packing === 'if many') {
      this.fill(records, passedOver);
      return;
    }
    const spare: Uint8Array[] = [];
    const take = (): Uint8Array => spare.pop() ?? new Uint8Array(Limit.chunk);
    const isTaken = (stack: ReadStack): boolean => {
      if (!areFew && !isWanted(stack)) return false;
      look(stack);
      return true;
    };
    const running: Promise<void>[] = [];
    try {
      for (const chunk of this.#fill(records, passedOver, take, isTaken)) {
        const { buffer } = chunk.bytes();
        this.#chunks.push(chunk);
        const packed = chunk.pack(areFew);
        running.push(areFew ? packed : packed.then(() => void spare.push(new Uint8Array(buffer))));
        if (running.length >= IN_FLIGHT) await running.shift();
      }
      await Promise.all(running);
    } finally {
      await Promise.allSettled(running);
    }
  }

  /** Drops the stacks of the goroutines that are marked by a 1. */
  drop(marked: Uint8Array): void {
    const dropped = this.#dropped;
    for (let i = marked.indexOf(1); i >= 0; i = nextMarked(marked, i)) dropped[i] = 1;
  }

  /** Takes out the stacks that have bytes in runs which are known better, and returns them. */
  evict(runs: Runs): Segment[] {
    const out: Segment[] = [];
    for (let i = 0; i < this.#count; i++) {
      if (!this.#has(i) || !runs.touches(this.#lo[i] ?? 0, this.#hi[i] ?? 0)) continue;
      out.push(this.#segment(i));
      this.#evicted[i] = 1;
    }
    return out;
  }

  /** The stacks as a snapshot takes them: whole chunks, and what is left of the others. */
  *groups(): Iterable<MemoryGroup> {
    for (const [c, chunk] of this.#chunks.entries()) {
      const left: number[] = [];
      const [first, end] = [this.#firstOf[c] ?? 0, this.#firstOf[c + 1] ?? this.#count];
      for (let i = first; i < end; i++) if (this.#has(i)) left.push(i);
      if (left.length === end - first) yield chunk;
      else if (left.length > 0) yield left.map((i) => this.#segment(i));
    }
  }

  /** The offset of `length` bytes at an address in {@link view}; -1 unless one stack that is not packed has all of them. */
  offsetOf(addr: number, length: number): number {
    const i = this.#pieceAt(addr);
    if (i < 0 || !this.#has(i) || addr + length > (this.#hi[i] ?? 0)) return -1;
    const chunk = this.#chunks[this.#chunkOf(i)];
    if (chunk?.isPlain !== true) return -1;
    const { buffer, byteOffset } = chunk.bytes();
    if (this.view.buffer !== buffer) this.view = new DataView(buffer);
    return byteOffset + (this.#offset[i] ?? 0) + addr - (this.#lo[i] ?? 0);
  }

  window(addr: number): Window | null {
    const i = this.#pieceAt(addr);
    if (i < 0 || !this.#has(i)) return null;
    const [lo, hi] = [this.#lo[i] ?? 0, this.#hi[i] ?? 0];
    const bytes = this.#bytesOf(this.#chunkOf(i));
    return { lo, hi, view: new DataView(bytes.buffer, bytes.byteOffset + (this.#offset[i] ?? 0), hi - lo) };
  }

  /** Those of the stacks that are not packed. */
  get plain(): MemorySource {
    return {
      window: (addr) => (this.#isPlain(this.#pieceAt(addr)) ? this.window(addr) : null),
      ranges: (lo, hi) => this.#ranges(lo, hi, (piece) => this.#isPlain(piece)),
    };
  }

  #isPlain(piece: number): boolean {
    return this.#chunks[this.#chunkOf(piece)]?.isPlain === true;
  }

  /** The piece that holds an address, or -1. It is looked for first where the last one was, and behind that. */
  #pieceAt(addr: number): number {
    for (let i = this.#last; i < this.#last + 2; i++) {
      if (addr >= (this.#lo[i] ?? Infinity) && addr < (this.#hi[i] ?? 0)) return (this.#last = i);
    }
    const i = firstAbove(this.#hi, addr);
    return addr >= (this.#lo[i] ?? Infinity) ? (this.#last = i) : -1;
  }

  ranges(lo: number, hi: number): Iterable<Range> {
    return this.#ranges(lo, hi, () => true);
  }

  *#ranges(lo: number, hi: number, isWanted: (piece: number) => boolean): Iterable<Range> {
    for (let i = firstAbove(this.#hi, lo); (this.#lo[i] ?? Infinity) < hi; i++) {
      if (!this.#has(i) || !isWanted(i)) continue;
      yield { lo: Math.max(lo, this.#lo[i] ?? 0) as Addr, hi: Math.min(hi, this.#hi[i] ?? 0) as Addr };
    }
  }

  #has(piece: number): boolean {
    return this.#dropped[this.#owner[piece] ?? 0] === 0 && this.#evicted[piece] === 0;
  }

  #segment(piece: number): Segment {
    const [lo, hi, at] = [this.#lo[piece] ?? 0, this.#hi[piece] ?? 0, this.#offset[piece] ?? 0];
    return { addr: lo as Addr, bytes: this.#bytesOf(this.#chunkOf(piece)).subarray(at, at + hi - lo) };
  }

  #chunkOf(piece: number): number {
    return firstIndex(this.#firstOf.length, (c) => (this.#firstOf[c] ?? Infinity) > piece) - 1;
  }

  #bytesOf(index: number): Uint8Array {
    const chunk = this.#chunks[index];
    if (chunk === undefined) throw new RangeError(`no chunk ${index}`);
    if (chunk.isPlain) return chunk.bytes();
    let bytes = this.#unpacked.get(index);
    if (bytes !== undefined) return bytes;
    bytes = chunk.bytes();
    const [oldest] = this.#unpacked.size >= UNPACKED ? this.#unpacked.keys() : [];
    if (oldest !== undefined) this.#unpacked.delete(oldest);
    this.#unpacked.set(index, bytes);
    return bytes;
  }

  /** Yields the chunks as they fill, in buffers that `take` returns. */
  *#fill(
    records: DataView,
    passedOver: Uint8Array,
    take: () => Uint8Array,
    isWanted: (stack: ReadStack) => boolean,
  ): Generator<ReadyChunk> {
    const most = this.#plan.goroutines.length + Math.ceil(this.#bytesIn(records, passedOver) / Limit.chunk) + 1;
    // Behind the last piece, none holds any address.
    [this.#lo, this.#hi] = [new Float64Array(most).fill(Infinity), new Float64Array(most).fill(Infinity)];
    [this.#offset, this.#owner, this.#evicted] = [new Uint32Array(most), new Uint32Array(most), new Uint8Array(most)];
    this.#dropped.fill(1);
    let open: OpenChunk | null = null;
    for (const stack of readStacks(this.#plan, this.#source, records, passedOver)) {
      this.#source.rest();
      if (!isWanted(stack)) continue;
      const { owner, addr, bytes } = stack;
      this.#dropped[owner] = 0;
      for (let done = 0; done < bytes.length;) {
        if (open === null) this.#firstOf.push(this.#count);
        open ??= new OpenChunk(take());
        const offset = open.used;
        const n = open.add(addr + done, done === 0 ? bytes : bytes.subarray(done));
        this.#addPiece(owner, addr + done, n, offset);
        done += n;
        if (!open.full) continue;
        yield new ReadyChunk(open.finish());
        open = null;
      }
    }
    if (open !== null) yield new ReadyChunk(open.finish());
    this.#isFilled = true;
  }

  #addPiece(owner: number, lo: number, length: number, offset: number): void {
    const i = this.#count++;
    this.#lo[i] = lo;
    this.#hi[i] = lo + length;
    this.#offset[i] = offset;
    this.#owner[i] = owner;
  }

  #bytesIn(records: DataView, passedOver: Uint8Array): number {
    let bytes = 0;
    for (let i = 0; i < passedOver.length; i++) {
      if (passedOver[i] !== 1) bytes += this.#plan.bytesInUse(i, records);
    }
    return bytes;
  }
}

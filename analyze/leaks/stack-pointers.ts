import { alignUp, type Addr } from '../../snapshots/address.js';
import { MemoryFault, onFault } from '../../snapshots/memory.js';
import { firstAbove } from '../../snapshots/binary-search.js';
import type { GoProgram } from '../program.js';
import { DeferReader } from '../runtime/defer-records.js';
import { isOnThread, type G } from '../runtime/goroutine.js';
import { isBlocked } from '../runtime/wait-records.js';
import { panicOf, PointersInFrames } from './frame-pointers.js';
import type { Heap } from './heap.js';
import { MAX_STACK, stackInUse } from './roots.js';

const MAX_FRAMES = 1024;
const MAX_SAVED = 512;
const WORD = 8;
const TWO_32 = 2 ** 32;

/**
 * Marks from the stacks of goroutines. Of one that is parked in a call, and whose functions all have maps of their pointers,
 * only words count that are live: what its functions left behind in their frames keeps nothing. Of all others every word counts,
 * as far as the stack is in use.
 */
export class StackPointers {
  readonly #program: GoProgram;
  readonly #heap: Heap;
  readonly #frames: PointersInFrames;
  readonly #defers: DeferReader;
  /** True where functions that need a rule of their own cannot be told by their names. */
  readonly #areNamesLost: boolean;
  readonly #pcs = new Float64Array(MAX_FRAMES);
  /** The stack that is looked at, and words that point into it. */
  #lo = 0;
  #hi = 0;
  readonly #pending: number[] = [];
  /** Ranges of it: variables to which words may point, ascending. */
  #from: number[] = [];
  #to: number[] = [];

  constructor(program: GoProgram, heap: Heap) {
    this.#program = program;
    this.#heap = heap;
    this.#frames = new PointersInFrames(program);
    this.#defers = new DeferReader(program);
    this.#areNamesLost = program.code.modules.some(({ module, nameGiver }) => {
      return nameGiver !== null || module.pclntab.altered;
    });
  }

  /** Throws MemoryFault where a part of the stack is absent. */
  mark(g: G): void {
    const { lo, hi } = stackInUse(this.#program, g);
    if (lo === 0 && hi === 0) return;
    if (hi - lo > MAX_STACK) throw new MemoryFault(lo, 'a stack has implausible bounds');
    const isMarked = onFault(
      () => this.#markLive(g),
      () => false,
    );
    if (!isMarked) this.#heap.markRange(this.#program.memory, lo, hi);
  }

  /** False where it cannot be told what is live. */
  #markLive(g: G): boolean {
    if (!isBlocked(g) || isOnThread(g) || g.syscallsp !== 0 || this.#areNamesLost) return false;
    if (panicOf(this.#program, g.addr) !== 0) return false;
    const depth = this.#program.pcsOfWhole(g, this.#pcs);
    // The outermost is goexit, which keeps nothing.
    if (depth < 2) return false;
    const deferring = this.#deferring(g);
    if (deferring === null) return false;
    this.#lo = g.stack.lo;
    this.#hi = g.stack.hi;
    this.#from = [];
    this.#to = [];
    let sp: number = g.sched.sp;
    for (let i = 0; i < depth - 1; i++) {
      const frame = this.#frames.at(this.#pcs[i] ?? 0);
      if (frame === null) return false;
      const { sizeBytes, words, argumentsEnd, objects } = frame;
      for (const [from, to] of objects) {
        this.#from.push(sp + from);
        this.#to.push(sp + to);
      }
      if (words === null || deferring.has(sp)) this.#visitRange(sp, sp + argumentsEnd);
      else for (const word of words) this.#visit((sp + word) as Addr);
      sp += sizeBytes;
    }
    this.#followPointers();
    return true;
  }

  /** The stack pointers of frames that have deferred calls; null where that cannot be told. Visits their records. */
  #deferring(g: G): Set<number> | null {
    const out = new Set<number>();
    this.#pending.length = 0;
    if (this.#defers.first(g.addr) === 0) return out;
    let isWhole = false;
    for (const record of this.#defers.of(g.addr)) {
      if (record.savedBytes >= MAX_SAVED) return null;
      const { lo, hi } = this.#defers.range(record.addr);
      this.#visitRange(lo, hi + record.savedBytes);
      out.add(record.sp);
      isWhole = record.link === 0;
    }
    return isWhole ? out : null;
  }

  #visitRange(from: number, to: number): void {
    for (let at = alignUp(from as Addr, WORD); at + WORD <= to; at = (at + WORD) as Addr) this.#visit(at);
  }

  #visit(at: Addr): void {
    const { memory } = this.#program;
    const [low, high] = [memory.u32(at), memory.u32(at, 4)];
    if (high === 0 && low === 0) return;
    const word = high * TWO_32 + low;
    if (word >= this.#lo && word < this.#hi) this.#pending.push(word);
    else this.#heap.markWord(low, high);
  }

  /** Visits the variables to which words point that were visited, and so on. */
  #followPointers(): void {
    const order = this.#from.map((_, i) => i).sort((a, b) => (this.#from[a] ?? 0) - (this.#from[b] ?? 0));
    const from = Float64Array.from(order, (i) => this.#from[i] ?? 0);
    const seen = new Uint8Array(order.length);
    for (let word = this.#pending.pop(); word !== undefined; word = this.#pending.pop()) {
      const place = firstAbove(from, word) - 1;
      const object = order[place];
      if (object === undefined || seen[place] === 1 || word >= (this.#to[object] ?? 0)) continue;
      seen[place] = 1;
      this.#visitRange(this.#from[object] ?? 0, this.#to[object] ?? 0);
    }
  }
}

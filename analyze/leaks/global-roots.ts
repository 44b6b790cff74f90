import { alignUp, plus, type Addr } from '../../snapshots/address.js';
import { RangeList, Runs } from '../../snapshots/runs.js';
import type { Range } from '../../snapshots/memory.js';
import type { GoRuntime } from '../runtime/go-runtime.js';
import type { Heap } from './heap.js';
import { drained, type Attribute } from './roots.js';

/**
 * Marks from global variables. The runtime's records of Ms and Ps and its list of all goroutines are held back: they lead to nearly
 * everything, as a timer does through the P that it belongs to, and to name what else reaches something says more.
 */
export class GlobalRoots {
  readonly #program: GoRuntime;
  readonly #heap: Heap;
  /** What is held back in the heap, each with the variable of the runtime that it is reached from. */
  readonly #records: (readonly [record: Addr, variable: Addr])[];
  /** What is held back among the variables themselves: the first M. */
  readonly #variables: Runs;

  constructor(program: GoRuntime, heap: Heap) {
    const { memory, globals, machines, processors, layouts } = program;
    this.#program = program;
    this.#heap = heap;
    this.#records = [
      [memory.ptr(globals.allgs), globals.allgs],
      ...machines.map(({ addr }) => [addr, globals.allm] as const),
      ...processors.map(({ addr }) => [addr, globals.allp] as const),
    ];
    for (const [record] of this.#records) heap.holdBack(record);
    const mSize = layouts.of('m').sizeBytes;
    this.#variables = new Runs(new RangeList(machines.map(({ addr }) => ({ lo: addr, hi: plus(addr, mSize) }))), 0);
  }

  /** Marks from all variables but the first M, each word by itself. */
  *markVariables(attribute: Attribute): Generator<void> {
    for (const { lo, hi } of globalRanges(this.#program)) yield* this.#markWords(lo, hi, attribute, true);
  }

  /** Marks from what was held back. */
  *markHeldBack(attribute: Attribute): Generator<void> {
    for (const [record, variable] of this.#records) {
      attribute('global', variable);
      this.#heap.release(record);
      yield* drained(this.#heap);
    }
    for (const { lo, hi } of globalRanges(this.#program)) {
      for (const part of this.#variables.parts(lo, hi)) yield* this.#markWords(part.lo, part.hi, attribute, false);
    }
  }

  *#markWords(lo: Addr, hi: Addr, attribute: Attribute, holdsBack: boolean): Generator<void> {
    const { memory } = this.#program;
    for (let at = alignUp(lo, 8); at + 8 <= hi; at = plus(at, 8)) {
      const high = memory.u32(at, 4);
      if (high === 0 || (holdsBack && this.#variables.touches(at, at + 8))) continue;
      attribute('global', at);
      this.#heap.markWord(memory.u32(at), high);
      yield* drained(this.#heap);
    }
  }
}

/** Global variables that may hold pointers: data and bss of every module (markroot in mgcmark.go). */
function globalRanges({ memory, code }: GoRuntime): Range[] {
  return code.modules.flatMap(({ module: { addr, layout } }) =>
    ['data', 'bss'].map((section) => ({
      lo: memory.ptr(addr, layout.offset(section)),
      hi: memory.ptr(addr, layout.offset(`e${section}`)),
    })),
  );
}

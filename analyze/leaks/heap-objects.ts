import type { Addr } from '../../snapshots/address.js';
import { firstAbove } from '../../snapshots/binary-search.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { GoRuntime } from '../runtime/go-runtime.js';
import { NotProvable } from './not-provable.js';
import { PAGE_BYTES, readSpans, type Spans } from './spans.js';

/** The object of the heap that an address is in. */
interface HeapObject {
  readonly base: number;
  readonly sizeBytes: number;
  readonly hasPointers: boolean;
  readonly isFree: boolean;
}

/** Says of single addresses which objects of the heap are there, where the target has the heap. */
export class HeapObjects {
  readonly #program: GoRuntime;
  readonly #memory: Memory;
  readonly #maxSpans: number;
  #spans: Spans | null | undefined;

  /** A heap of more than `maxSpans` spans counts as not in the target: reading them all would take too long. */
  constructor(program: GoRuntime, maxSpans = Infinity) {
    this.#program = program;
    this.#maxSpans = maxSpans;
    this.#memory = program.memory.unrecorded;
  }

  /** null where the heap is not in the target, or not as expected, and for addresses outside of it. */
  at(addr: Addr): HeapObject | null {
    if (this.#spans === undefined) this.#spans = this.#read();
    const spans = this.#spans;
    if (spans === null) return null;
    const span = firstAbove(spans.base, addr) - 1;
    const [start = 0, pages = 0] = [spans.base[span], spans.pages[span]];
    const [sizeBytes = 1, elems = 0] = [spans.elemBytes[span], spans.elems[span]];
    if (span < 0 || addr >= start + pages * PAGE_BYTES) return null;
    const index = Math.floor((addr - start) / sizeBytes);
    const base = start + index * sizeBytes;
    const isFree = index >= elems || !this.#isAllocated(spans, span, index);
    return { base, sizeBytes, hasPointers: spans.noscan[span] === 0, isFree };
  }

  /**
   * Why there can be no object of so many bytes at an address; null where nothing contradicts it: also where the heap is not in
   * the target, and outside of it. It may be a part of a larger object.
   */
  refutes(addr: Addr, sizeBytes: number, hasPointers: boolean): string | null {
    const object = sizeBytes === 0 ? null : this.at(addr);
    if (object === null) return null;
    if (object.isFree) return 'the object there was freed';
    if (addr + sizeBytes > object.base + object.sizeBytes)
      return `${sizeBytes} bytes do not fit in the object there, which ends ${object.base + object.sizeBytes - addr} bytes on`;
    return hasPointers && !object.hasPointers ? 'the object there has no pointers' : null;
  }

  #isAllocated({ freeIndex, allocBits }: Spans, span: number, index: number): boolean {
    if (index < (freeIndex[span] ?? 0)) return true;
    return onFault(
      () => ((this.#memory.u8((allocBits[span] ?? 0) as Addr, index >>> 3) >>> (index & 7)) & 1) === 1,
      () => true,
    );
  }

  #read(): Spans | null {
    try {
      return onFault(
        () => readSpans(this.#program, this.#memory, this.#maxSpans),
        () => null,
      );
    } catch (error) {
      if (error instanceof NotProvable) return null;
      throw error;
    }
  }
}

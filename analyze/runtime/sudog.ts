import type { Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { Memory, pointer } from '../../snapshots/memory.js';
import type { Layouts } from './layouts.js';

/** runtime.sudog (runtime2.go): a goroutine in the queue of a channel, a semaphore or a sync.Cond. */
export interface Sudog {
  readonly addr: Addr;
  readonly g: Addr;
  /** What a channel operation copies to or from; the semaphore; from Go 1.26 on also the notifyList of a sync.Cond. */
  readonly elem: Addr;
  /** The channel, or 0. */
  readonly c: Addr;
  readonly isSelect: boolean;
  /** The next sudog in the queue. */
  readonly next: Addr;
  /** In a select, the next sudog of the same goroutine; in a semaphore's queue, the next for the same address. */
  readonly waitlink: Addr;
}

/** Offsets in a sudog, in bytes. */
export interface SudogOffsets {
  readonly g: number;
  readonly elem: number;
  readonly c: number;
  readonly isSelect: number;
  readonly next: number;
  readonly waitlink: number;
}

/** The offsets of the addresses and flags in a sudog. */
export function sudogOffsets(layouts: Layouts): SudogOffsets {
  const layout = layouts.of('sudog');
  const { sudogPointer } = layouts.release;
  return {
    g: layout.offset('g'),
    elem: layout.offset('elem') + sudogPointer,
    c: layout.offset('c') + sudogPointer,
    isSelect: layout.offset('isSelect'),
    next: layout.offset('next'),
    waitlink: layout.offset('waitlink'),
  };
}

/** Reads sudogs with the offsets of one release. */
export class SudogReader {
  readonly sizeBytes: number;
  readonly #memory: Memory;
  readonly #at: SudogOffsets;

  constructor(memory: Memory, layouts: Layouts) {
    this.#memory = new Memory(memory.source);
    this.sizeBytes = layouts.of('sudog').sizeBytes;
    this.#at = sudogOffsets(layouts);
  }

  /** True if all of it is in the image. */
  has(addr: Addr): boolean {
    return this.#memory.has(addr, this.sizeBytes);
  }

  /** The goroutine that waits in it. Throws MemoryFault where it is absent. */
  goroutineOf(addr: Addr): Addr {
    return this.#memory.ptr(addr, this.#at.g);
  }

  /** Throws MemoryFault where it is absent or its words cannot be a sudog's. */
  read(addr: Addr): Sudog {
    const { lo, view } = this.#memory.whole(addr, this.sizeBytes);
    const at = this.#at;
    const ptr = (offset: number): Addr => pointer(wordAt(view, addr - lo + offset), addr + offset);
    return {
      addr,
      g: ptr(at.g),
      elem: ptr(at.elem),
      c: ptr(at.c),
      isSelect: view.getUint8(addr - lo + at.isSelect) !== 0,
      next: ptr(at.next),
      waitlink: ptr(at.waitlink),
    };
  }
}

import { plus, type Addr } from '../../snapshots/address.js';
import { Memory } from '../../snapshots/memory.js';
import type { Layouts } from './layouts.js';

/** From here on elem and c are a maybeTraceablePtr (runtime2.go): one word for the collector, then the address. */
const TRACEABLE_POINTERS = 26;

/** runtime.sudog (runtime2.go): a goroutine in the queue of a channel, a semaphore or a sync.Cond. */
export interface Sudog {
  readonly addr: Addr;
  readonly g: Addr;
  /** What a channel operation copies to or from; the semaphore; from Go 1.26 on also the notifyList of a sync.Cond. */
  readonly elem: Addr;
  /** The channel, or 0. */
  readonly c: Addr;
  readonly isSelect: boolean;
  /** The one behind it in the queue. */
  readonly next: Addr;
  /** The next of the same goroutine, which waits in a select; in a semaphore, of the same address. */
  readonly waitlink: Addr;
}

/** Reads sudogs with the offsets of one release. */
export class SudogReader {
  readonly sizeBytes: number;
  readonly #memory: Memory;
  readonly #at;
  readonly #pointer: number;

  constructor(memory: Memory, layouts: Layouts) {
    const layout = layouts.of('sudog');
    this.#memory = new Memory(memory.source);
    this.sizeBytes = layout.sizeBytes;
    this.#pointer = layouts.version.minor >= TRACEABLE_POINTERS ? 8 : 0;
    this.#at = {
      g: layout.offset('g'),
      elem: layout.offset('elem') + this.#pointer,
      c: layout.offset('c') + this.#pointer,
      isSelect: layout.offset('isSelect'),
      next: layout.offset('next'),
      waitlink: layout.offset('waitlink'),
    };
  }

  /** True where the whole of it is known. */
  has(addr: Addr): boolean {
    return this.#memory.has(addr, this.sizeBytes);
  }

  /** The goroutine in it. */
  goroutineOf(addr: Addr): Addr {
    return this.#memory.ptr(addr, this.#at.g);
  }

  /** Throws MemoryFault where it is absent or cannot be one. */
  read(addr: Addr): Sudog {
    const memory = this.#memory;
    const at = this.#at;
    return {
      addr,
      g: memory.ptr(addr, at.g),
      elem: memory.ptr(addr, at.elem),
      c: memory.ptr(addr, at.c),
      isSelect: memory.u8(addr, at.isSelect) !== 0,
      next: memory.ptr(addr, at.next),
      waitlink: memory.ptr(addr, at.waitlink),
    };
  }

  range(addr: Addr): { lo: Addr; hi: Addr } {
    return { lo: addr, hi: plus(addr, this.sizeBytes) };
  }
}

import { NIL, type Addr } from '../../snapshots/address.js';
import { Memory } from '../../snapshots/memory.js';
import type { Layouts } from './layouts.js';

/** runtime.hchan (chan.go): a channel. */
export interface Hchan {
  readonly addr: Addr;
  /** Values in the buffer, and room for them. */
  readonly qcount: number;
  readonly dataqsiz: number;
  readonly elemsize: number;
  readonly closed: boolean;
  /** The descriptor of the type of its values. */
  readonly elemtype: Addr;
  /** The timer that sends on it; 0 for other channels, and before Go 1.23. */
  readonly timer: Addr;
  /** The first sudog in each queue (waitq.first), or 0. */
  readonly recvq: Addr;
  readonly sendq: Addr;
}

/** Reads channels with the offsets of one release. */
export class HchanReader {
  readonly #memory: Memory;
  readonly #at;

  constructor(memory: Memory, layouts: Layouts) {
    const layout = layouts.of('hchan');
    const first = layouts.of('waitq').offset('first');
    this.#memory = new Memory(memory.source);
    this.#at = {
      qcount: layout.offset('qcount'),
      dataqsiz: layout.offset('dataqsiz'),
      elemsize: layout.offset('elemsize'),
      closed: layout.offset('closed'),
      elemtype: layout.offset('elemtype'),
      timer: layout.optional('timer'),
      recvq: layout.offset('recvq') + first,
      sendq: layout.offset('sendq') + first,
    };
  }

  /** Throws MemoryFault where it is absent or its words cannot be a channel's. */
  read(addr: Addr): Hchan {
    const memory = this.#memory;
    const at = this.#at;
    return {
      addr,
      qcount: memory.word(addr, at.qcount),
      dataqsiz: memory.word(addr, at.dataqsiz),
      elemsize: memory.u16(addr, at.elemsize),
      closed: memory.u32(addr, at.closed) !== 0,
      elemtype: memory.ptr(addr, at.elemtype),
      timer: at.timer === null ? NIL : memory.ptr(addr, at.timer),
      recvq: memory.ptr(addr, at.recvq),
      sendq: memory.ptr(addr, at.sendq),
    };
  }
}

import { NIL, type Addr } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';
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

/** Throws MemoryFault where it is absent or its words cannot be a channel's. */
export function readHchan(memory: Memory, layouts: Layouts, addr: Addr): Hchan {
  const layout = layouts.of('hchan');
  const timer = layout.optional('timer');
  const first = layouts.of('waitq').offset('first');
  return {
    addr,
    qcount: memory.word(addr, layout.offset('qcount')),
    dataqsiz: memory.word(addr, layout.offset('dataqsiz')),
    elemsize: memory.u16(addr, layout.offset('elemsize')),
    closed: memory.u32(addr, layout.offset('closed')) !== 0,
    elemtype: memory.ptr(addr, layout.offset('elemtype')),
    timer: timer === null ? NIL : memory.ptr(addr, timer),
    recvq: memory.ptr(addr, layout.offset('recvq') + first),
    sendq: memory.ptr(addr, layout.offset('sendq') + first),
  };
}

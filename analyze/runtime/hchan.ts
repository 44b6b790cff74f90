import { NIL, type Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { Memory, onFault, pointer } from '../../snapshots/memory.js';
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
  readonly #sizeBytes: number;
  readonly #memory: Memory;
  readonly #at;

  constructor(memory: Memory, layouts: Layouts) {
    const layout = layouts.of('hchan');
    const first = layouts.of('waitq').offset('first');
    this.#sizeBytes = layout.sizeBytes;
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

  /** As {@link read}, but null where that throws. */
  tryRead(addr: Addr): Hchan | null {
    return onFault(
      () => this.read(addr),
      () => null,
    );
  }

  /** Throws MemoryFault where it is absent or its words cannot be a channel's. */
  read(addr: Addr): Hchan {
    const { lo, view } = this.#memory.whole(addr, this.#sizeBytes);
    const at = this.#at;
    const ptr = (offset: number): Addr => pointer(wordAt(view, addr - lo + offset), addr + offset);
    return {
      addr,
      qcount: wordAt(view, addr - lo + at.qcount),
      dataqsiz: wordAt(view, addr - lo + at.dataqsiz),
      elemsize: view.getUint16(addr - lo + at.elemsize, true),
      closed: view.getUint32(addr - lo + at.closed, true) !== 0,
      elemtype: ptr(at.elemtype),
      timer: at.timer === null ? NIL : ptr(at.timer),
      recvq: ptr(at.recvq),
      sendq: ptr(at.sendq),
    };
  }
}

import type { Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { ArgumentSlot } from './argument-list.js';
import type { PhysicalFrame } from './step.js';

/** One of the values that a traceback prints in an argument list. */
export interface ArgumentWord extends ArgumentSlot {
  /** Where it lies: on the stack, in the caller's frame. */
  readonly addr: Addr;
  readonly value: bigint;
}

/** Bytes from frame.fp to frame.argp (runtime/stkframe.go): sys.MinFrameSize. */
const ARGUMENTS_AT: Readonly<Record<Arch, number>> = { amd64: 0, arm64: 8 };

/** Reads the arguments of frames, as Go's own traceback prints them (printArgs of runtime/traceback.go). */
export class FrameArguments {
  readonly #memory: Memory;
  readonly #base: number;

  constructor(memory: Memory, arch: Arch) {
    this.#memory = memory;
    this.#base = ARGUMENTS_AT[arch];
  }

  /** What a traceback prints between the parentheses; null where the tables or the values are absent. */
  text({ point, trap, fp }: PhysicalFrame): string | null {
    const list = point.argumentList(trap);
    if (list === null) return null;
    const { slots, texts } = list;
    if (slots.length === 0) return texts[0] ?? '';
    return onFault(
      () => {
        let text = '';
        for (let i = 0; i < slots.length; i++) {
          const slot = slots[i];
          if (slot !== undefined)
            text += (texts[i] ?? '') + this.#hex((fp + this.#base + slot.offset) as Addr, slot.sizeBytes);
        }
        return text + (texts[slots.length] ?? '');
      },
      () => null,
    );
  }

  /** The values in the order in which they are printed; null where the tables or the values are absent. */
  words({ point, trap, fp }: PhysicalFrame): ArgumentWord[] | null {
    const list = point.argumentList(trap);
    if (list === null) return null;
    return onFault<ArgumentWord[], null>(
      () =>
        list.slots.map((slot) => {
          const addr = (fp + this.#base + slot.offset) as Addr;
          const { offset, sizeBytes, live, pointer } = slot;
          return { offset, sizeBytes, live, pointer, addr, value: this.#value(addr, sizeBytes) };
        }),
      () => null,
    );
  }

  #hex(addr: Addr, sizeBytes: number): string {
    const memory = this.#memory;
    if (sizeBytes === 8) {
      const [low, high] = [memory.u32(addr), memory.u32(addr, 4)];
      if (high < 2 ** 21) return `0x${(high * 2 ** 32 + low).toString(16)}`;
      return `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
    }
    if (sizeBytes === 1) return `0x${memory.u8(addr).toString(16)}`;
    return `0x${this.#bytes(addr, sizeBytes).toString(16)}`;
  }

  #value(addr: Addr, sizeBytes: number): bigint {
    return sizeBytes === 8 ? this.#memory.u64(addr) : BigInt(this.#bytes(addr, sizeBytes));
  }

  /** Less than 8 bytes, as a number. */
  #bytes(addr: Addr, sizeBytes: number): number {
    let value = 0;
    for (let i = sizeBytes - 1; i >= 0; i--) value = value * 256 + this.#memory.u8(addr, i);
    return value;
  }
}

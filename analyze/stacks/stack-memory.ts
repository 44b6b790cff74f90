import type { Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { Memory, onFault, type Window } from '../../snapshots/memory.js';

/** A value that an unwinding rule used. */
export interface UsedWord {
  /** What it is, such as `return address`, `lr` or `g.sched.pc`. */
  readonly name: string;
  /** Where it was read; null for a register, and for a field that was read before the walk. */
  readonly addr: number | null;
  /** null where the image does not have it. */
  readonly value: bigint | null;
}

/** Is shown each value before a rule uses it, those that cannot be read too. */
export type WatchWords = (word: UsedWord) => void;

/** CALL rel32. */
const CALL = 0xe8;
/** Bytes of a direct call on amd64: CALL rel32. */
export const CALL_BYTES = 5;

/** The target's memory as unwinding rules read it: word by word, each with a name for those who watch. */
export class StackMemory {
  readonly #memory: Memory;
  readonly #watch: WatchWords | null;
  /** Around the last word that {@link wordIfKnown} found. */
  #window: Window | null = null;

  constructor(memory: Memory, watch: WatchWords | null) {
    this.#memory = new Memory(memory.source);
    this.#watch = watch;
  }

  /** The pointer at `addr`. Throws MemoryFault where it is absent or cannot be an address. */
  pointer(addr: number, name: string): Addr {
    if (this.#watch !== null) this.#showWord(addr, name, this.#watch);
    return this.#memory.ptr(addr as Addr);
  }

  /** The unsigned 64-bit word at `addr`; above 2^53 its low bits are lost. Throws MemoryFault where it is absent. */
  word(addr: number, name: string): number {
    if (this.#watch !== null) this.#showWord(addr, name, this.#watch);
    return this.#memory.word(addr as Addr);
  }

  /** The word at `addr`, unwatched; -1 where it is absent, or at the end of what is cheap to read. */
  wordIfKnown(addr: number): number {
    let window = this.#window;
    if (window === null || addr < window.lo || addr + 8 > window.hi) {
      window = this.#memory.source.window(addr);
      if (window === null || addr + 8 > window.hi) return -1;
      this.#window = window;
    }
    return wordAt(window.view, addr - window.lo);
  }

  /** The same memory without those who watch, for what a rule only tries. */
  unwatched(): StackMemory {
    return this.#watch === null ? this : new StackMemory(this.#memory, null);
  }

  /** Where a direct call of amd64 that ends at `pc` leads; null where there is none. */
  callBefore(pc: number): number | null {
    return onFault(
      () => {
        const at = (pc - CALL_BYTES) as Addr;
        return this.#memory.u8(at) === CALL ? pc + this.#memory.i32(at, 1) : null;
      },
      () => null,
    );
  }

  /** Shows a value that a rule has already: a register, or what the runtime saved before the walk. Returns it. */
  known(value: number, name: string): number {
    this.#watch?.({ name, addr: null, value: BigInt(value) });
    return value;
  }

  #showWord(addr: number, name: string, watch: WatchWords): void {
    const value = onFault(
      () => this.#memory.u64(addr as Addr),
      () => null,
    );
    watch({ name, addr, value });
  }
}

import { plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, type Memory } from '../../snapshots/memory.js';
import { goString } from '../binary/build-info.js';

/** The runtime has about 45 reasons (1.27); the number is a byte. */
const MAX_REASONS = 128;
const MAX_WORDS = 64;

/** The wait reasons of the target in its own words: waitReasonStrings (runtime2.go), by index. */
export class WaitReasons {
  readonly #memory: Memory;
  readonly #strings: Addr | null;
  readonly #known = new Map<number, string | null>();

  constructor(memory: Memory, strings: Addr | null) {
    this.#memory = memory;
    this.#strings = strings;
  }

  /** null for reason 0, which says nothing, and where the string cannot be had. */
  at(reason: number): string | null {
    let words = this.#known.get(reason);
    if (words === undefined) {
      words = this.#read(reason);
      this.#known.set(reason, words);
    }
    return words;
  }

  #read(reason: number): string | null {
    if (this.#strings === null || reason === 0 || reason >= MAX_REASONS) return null;
    const header = plus(this.#strings, 16 * reason);
    try {
      if (this.#memory.word(header, 8) > MAX_WORDS) return null;
      const words = goString(this.#memory, header);
      return /^[\x20-\x7e]+$/.test(words) ? words : null;
    } catch (error) {
      if (error instanceof MemoryFault) return null;
      throw error;
    }
  }
}

import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import { goString } from '../binary/build-info.js';

/** Go 1.27 has 45 reasons; the number is a byte. */
const MAX_REASONS = 128;
/** Longest text of a reason, in bytes. */
const MAX_TEXT = 64;

/** The texts of wait reasons, read from the program's own table: waitReasonStrings (runtime2.go). */
export class WaitReasons {
  readonly #memory: Memory;
  readonly #strings: Addr | null;
  readonly #known = new Map<number, string | null>();

  constructor(memory: Memory, strings: Addr | null) {
    this.#memory = memory;
    this.#strings = strings;
  }

  /** The text of a reason by its number; null for 0, which is empty, and where the string cannot be read. */
  at(reason: number): string | null {
    let text = this.#known.get(reason);
    if (text === undefined) {
      text = this.#read(reason);
      this.#known.set(reason, text);
    }
    return text;
  }

  #read(reason: number): string | null {
    if (this.#strings === null || reason === 0 || reason >= MAX_REASONS) return null;
    const header = plus(this.#strings, 16 * reason);
    const text = onFault(
      () => (this.#memory.word(header, 8) > MAX_TEXT ? '' : goString(this.#memory, header)),
      () => '',
    );
    return /^[\x20-\x7e]+$/.test(text) ? text : null;
  }
}

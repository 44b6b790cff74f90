import { BytesError } from '../bytes.js';

/** Addresses in the file end here, so that the difference of two is exact in a zigzag number below 2^53. */
export const MAX_ADDR = 2 ** 52;

/** Appends ranges in their compact form: zigzag LEB128 of start minus the last end, LEB128 of the length. */
export class RangeWriter {
  #bytes = new Uint8Array(256);
  #used = 0;
  #lastEnd = 0;

  /** Throws RangeError where the range is empty or above {@link MAX_ADDR}. */
  add(lo: number, hi: number): void {
    if (!Number.isInteger(lo) || !Number.isInteger(hi) || lo < 0 || hi <= lo || hi > MAX_ADDR) {
      throw new RangeError(`[${lo}, ${hi}) is no range of addresses`);
    }
    const delta = lo - this.#lastEnd;
    this.#uleb(delta >= 0 ? delta * 2 : -delta * 2 - 1);
    this.#uleb(hi - lo);
    this.#lastEnd = hi;
  }

  /** A copy of what was added. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#used);
  }

  #uleb(value: number): void {
    if (this.#used + 8 > this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#used++] = 128 + (rest % 128);
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#used++] = rest;
  }
}

/** Calls `each` for every range of {@link RangeWriter}'s form, in its order. Throws {@link BytesError} where it is broken. */
export function readRanges(bytes: Uint8Array, each: (lo: number, hi: number) => void): void {
  let at = 0;
  const uleb = (): number => {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const b = bytes[at++];
      if (b === undefined) throw new BytesError('a list of ranges ends early');
      if (b < 128) return value + b * scale;
      value += (b - 128) * scale;
      scale *= 128;
    }
    throw new BytesError('a number in a list of ranges is too long');
  };
  let lastEnd = 0;
  while (at < bytes.length) {
    const zigzag = uleb();
    const lo = lastEnd + (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);
    const hi = lo + uleb();
    if (lo < 0 || hi <= lo || hi > MAX_ADDR) throw new BytesError('a list of ranges has one that cannot be');
    each(lo, hi);
    lastEnd = hi;
  }
}

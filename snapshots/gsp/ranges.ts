import { BytesError } from '../bytes.js';

/** No range in the file ends above this, so that the zigzag-encoded difference of two addresses stays below 2^53. */
export const MAX_ADDR = 2 ** 52;

/** Encodes ranges: each as the zigzag LEB128 of its start minus the last end, and the LEB128 of its length. */
export class RangeWriter {
  #bytes = new Uint8Array(256);
  #used = 0;
  #lastEnd = 0;

  /** Throws RangeError if the range is empty or ends above {@link MAX_ADDR}. */
  add(lo: number, hi: number): void {
    if (!Number.isInteger(lo) || !Number.isInteger(hi) || lo < 0 || hi <= lo || hi > MAX_ADDR) {
      throw new RangeError(`[${lo}, ${hi}) is not a range of addresses`);
    }
    const delta = lo - this.#lastEnd;
    this.#uleb(delta >= 0 ? delta * 2 : -delta * 2 - 1);
    this.#uleb(hi - lo);
    this.#lastEnd = hi;
  }

  /** Returns a copy of the encoded bytes. */
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

/** Decodes ranges and calls `each` for every one, in order. Throws {@link BytesError} if the encoding is broken. */
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
    if (lo < 0 || hi <= lo || hi > MAX_ADDR) throw new BytesError('a list of ranges contains an impossible one');
    each(lo, hi);
    lastEnd = hi;
  }
}

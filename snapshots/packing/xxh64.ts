/** A 64-bit constant as two halves, the lower one also as two. */
interface Prime {
  readonly hi: number;
  readonly lo: number;
  readonly lo0: number;
  readonly lo1: number;
}

function prime(hi: number, lo: number): Prime {
  return { hi, lo, lo0: lo & 0xffff, lo1: lo >>> 16 };
}

const P1 = prime(0x9e3779b1, 0x85ebca87);
const P2 = prime(0xc2b2ae3d, 0x27d4eb4f);
const P3 = prime(0x165667b1, 0x9e3779f9);
const P4 = prime(0x85ebca77, 0xc2b2ae63);
const P5 = prime(0x27d4eb2f, 0x165667c5);
const STRIPE = 32;

/**
 * XXH64 with seed 0 over bytes that come piece by piece: the checksum of the Zstandard format (RFC 8878, 3.1.1). Numbers of
 * 64 bits are pairs of 32 bits, since BigInt is too slow for gigabytes.
 */
export class Xxh64 {
  /** The four accumulators, each as its lower and its upper half. */
  readonly #acc = Uint32Array.of(...sum(P1, P2), ...[P2.lo, P2.hi], ...[0, 0], ...negative(P1));
  readonly #rest = new Uint8Array(STRIPE);
  #restLength = 0;
  #length = 0;

  update(bytes: Uint8Array): void {
    this.#length += bytes.length;
    let at = 0;
    if (this.#restLength > 0) {
      at = Math.min(STRIPE - this.#restLength, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#restLength);
      this.#restLength += at;
      if (this.#restLength < STRIPE) return;
      this.#stripes(new DataView(this.#rest.buffer), 0, STRIPE);
    }
    const end = at + Math.floor((bytes.length - at) / STRIPE) * STRIPE;
    this.#stripes(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at, end);
    this.#rest.set(bytes.subarray(end));
    this.#restLength = bytes.length - end;
  }

  /** The lower 32 bits of the digest. */
  digest32(): number {
    const hash = new Word(0, 0);
    if (this.#length >= STRIPE) {
      for (const [i, bits] of [1, 7, 12, 18].entries()) hash.add(this.#accumulator(i).rotate(bits));
      for (let i = 0; i < 4; i++)
        hash.xor(this.#accumulator(i).multiply(P2).rotate(31).multiply(P1)).multiply(P1).add(P4);
    } else {
      hash.add(P5);
    }
    hash.add({ lo: this.#length >>> 0, hi: Math.floor(this.#length / 2 ** 32) });
    this.#finish(hash);
    hash.xorShift(33).multiply(P2).xorShift(29).multiply(P3).xorShift(32);
    return hash.lo;
  }

  #finish(hash: Word): void {
    const view = new DataView(this.#rest.buffer);
    let at = 0;
    for (; at + 8 <= this.#restLength; at += 8) {
      const word = new Word(view.getUint32(at, true), view.getUint32(at + 4, true));
      hash.xor(word.multiply(P2).rotate(31).multiply(P1)).rotate(27).multiply(P1).add(P4);
    }
    if (at + 4 <= this.#restLength) {
      hash
        .xor(new Word(view.getUint32(at, true), 0).multiply(P1))
        .rotate(23)
        .multiply(P2)
        .add(P3);
      at += 4;
    }
    for (; at < this.#restLength; at++)
      hash
        .xor(new Word(view.getUint8(at), 0).multiply(P5))
        .rotate(11)
        .multiply(P1);
  }

  #accumulator(i: number): Word {
    return new Word(this.#acc[2 * i] ?? 0, this.#acc[2 * i + 1] ?? 0);
  }

  /** acc = rotate(acc + input * P2, 31) * P1 for each lane: the inner loop, with nothing allocated. */
  #stripes(view: DataView, from: number, to: number): void {
    const acc = this.#acc;
    for (let at = from; at < to; at += STRIPE) {
      for (let lane = 0; lane < 4; lane++) {
        const lo = view.getUint32(at + 8 * lane, true);
        const hi = view.getUint32(at + 8 * lane + 4, true);
        const [a0, a1] = [lo & 0xffff, lo >>> 16];
        const low = a0 * P2.lo0;
        const mid = a0 * P2.lo1 + a1 * P2.lo0 + Math.floor(low / 65536);
        const product = (((mid & 0xffff) << 16) | (low & 0xffff)) >>> 0;
        const upper =
          a1 * P2.lo1 + Math.floor(mid / 65536) + (Math.imul(hi, P2.lo) >>> 0) + (Math.imul(lo, P2.hi) >>> 0);
        const sumLo = (acc[2 * lane] ?? 0) + product;
        const sumHi = ((acc[2 * lane + 1] ?? 0) + upper + (sumLo > 0xffffffff ? 1 : 0)) >>> 0;
        const turnedLo = (((sumLo >>> 0) << 31) | (sumHi >>> 1)) >>> 0;
        const turnedHi = ((sumHi << 31) | ((sumLo >>> 0) >>> 1)) >>> 0;
        const [b0, b1] = [turnedLo & 0xffff, turnedLo >>> 16];
        const low1 = b0 * P1.lo0;
        const mid1 = b0 * P1.lo1 + b1 * P1.lo0 + Math.floor(low1 / 65536);
        acc[2 * lane] = ((mid1 & 0xffff) << 16) | (low1 & 0xffff);
        acc[2 * lane + 1] =
          b1 * P1.lo1 +
          Math.floor(mid1 / 65536) +
          (Math.imul(turnedHi, P1.lo) >>> 0) +
          (Math.imul(turnedLo, P1.hi) >>> 0);
      }
    }
  }
}

/** A number of 64 bits. Operations change it and return it. */
class Word {
  lo: number;
  hi: number;

  constructor(lo: number, hi: number) {
    this.lo = lo;
    this.hi = hi;
  }

  add({ lo, hi }: { readonly lo: number; readonly hi: number }): this {
    const low = this.lo + lo;
    this.hi = (this.hi + hi + (low > 0xffffffff ? 1 : 0)) >>> 0;
    this.lo = low >>> 0;
    return this;
  }

  xor({ lo, hi }: Word): this {
    this.lo = (this.lo ^ lo) >>> 0;
    this.hi = (this.hi ^ hi) >>> 0;
    return this;
  }

  /** `bits` is below 32. */
  rotate(bits: number): this {
    const { lo, hi } = this;
    this.lo = ((lo << bits) | (hi >>> (32 - bits))) >>> 0;
    this.hi = ((hi << bits) | (lo >>> (32 - bits))) >>> 0;
    return this;
  }

  multiply(by: Prime): this {
    const { lo, hi } = this;
    const [a0, a1] = [lo & 0xffff, lo >>> 16];
    const low = a0 * by.lo0;
    const mid = a0 * by.lo1 + a1 * by.lo0 + Math.floor(low / 65536);
    this.lo = (((mid & 0xffff) << 16) | (low & 0xffff)) >>> 0;
    this.hi =
      (a1 * by.lo1 + Math.floor(mid / 65536) + (Math.imul(hi, by.lo) >>> 0) + (Math.imul(lo, by.hi) >>> 0)) >>> 0;
    return this;
  }

  /** x ^= x >>> bits. */
  xorShift(bits: number): this {
    const { lo, hi } = this;
    if (bits >= 32) return this.xor(new Word(hi >>> (bits - 32), 0));
    return this.xor(new Word(((lo >>> bits) | (hi << (32 - bits))) >>> 0, hi >>> bits));
  }
}

function sum(a: Prime, b: Prime): [lo: number, hi: number] {
  const { lo, hi } = new Word(a.lo, a.hi).add(b);
  return [lo, hi];
}

function negative({ lo, hi }: Prime): [lo: number, hi: number] {
  const word = new Word(~lo >>> 0, ~hi >>> 0).add({ lo: 1, hi: 0 });
  return [word.lo, word.hi];
}

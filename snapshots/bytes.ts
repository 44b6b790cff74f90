/** A read past the end of a buffer, or a broken encoding. */
export class BytesError extends Error {
  override readonly name = 'BytesError';
}

const TWO_32 = 2 ** 32;

/**
 * Returns the unsigned little-endian 64-bit word at a byte offset as a number. Above 2^53 the low bits are lost. About ten
 * times as fast as going through a bigint.
 */
export function wordAt(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
}

/** A bounds-checked little-endian cursor over untrusted bytes. Every read past the end throws {@link BytesError}. */
export class Bytes {
  readonly view: DataView;
  /** Offset of the next read, in bytes. */
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  get length(): number {
    return this.view.byteLength;
  }

  u8(): number {
    return this.view.getUint8(this.#take(1));
  }
  u16(): number {
    return this.view.getUint16(this.#take(2), true);
  }
  u32(): number {
    return this.view.getUint32(this.#take(4), true);
  }
  u64(): bigint {
    return this.view.getBigUint64(this.#take(8), true);
  }
  /** Reads a u64 that must be exact as a number, such as an offset, a size or an address. */
  word(): number {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new BytesError(`word at ${this.at - 8} is above 2^53`);
    return Number(value);
  }
  /** Returns the next `length` bytes as a view, not a copy. */
  take(length: number): Uint8Array {
    const start = this.#take(length);
    return new Uint8Array(this.view.buffer, this.view.byteOffset + start, length);
  }
  /** Reads an unsigned LEB128 number of at most 8 bytes. */
  uleb(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const b = this.u8();
      value += (b % 128) * scale;
      if (b < 128) return value;
      scale *= 128;
    }
    throw new BytesError(`LEB128 at ${this.at - 8} is longer than 8 bytes`);
  }
  /** Reads a signed LEB128 number of at most 8 bytes. */
  sleb(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const b = this.u8();
      value += (b % 128) * scale;
      scale *= 128;
      if (b < 128) return b >= 64 ? value - scale : value;
    }
    throw new BytesError(`LEB128 at ${this.at - 8} is longer than 8 bytes`);
  }
  /** Skips a LEB128 number of any length. */
  skipLeb(): void {
    while (this.u8() >= 128);
  }
  /** Reads NUL-terminated UTF-8. */
  cstring(): string {
    const start = this.at;
    this.skipString();
    const { buffer, byteOffset } = this.view;
    return Buffer.from(buffer, byteOffset + start, this.at - 1 - start).toString('utf8');
  }
  /** Skips a NUL-terminated string. */
  skipString(): void {
    while (this.u8() !== 0);
  }

  #take(length: number): number {
    if (length < 0 || this.at < 0 || this.at + length > this.view.byteLength) {
      throw new BytesError(`${length} bytes at ${this.at} are past the end (${this.view.byteLength})`);
    }
    const start = this.at;
    this.at += length;
    return start;
  }
}

import type { FileBytes } from '../regular-file.js';
import { StreamCut } from './stream-errors.js';

/** Bytes that are read at a time. */
const PIECE = 2 ** 20;

/** Reads a compressed file from its start to its end. */
export class FileReader {
  /** Offset of the next byte. */
  at = 0;
  readonly #file: FileBytes;
  #piece: Uint8Array = new Uint8Array(0);
  #pieceAt = 0;

  constructor(file: FileBytes) {
    this.#file = file;
  }

  /** Number of bytes that are left. */
  get left(): number {
    return this.#file.sizeBytes - this.at;
  }

  /** Returns the next bytes, to be read only. Throws {@link StreamCut} where the file ends before. */
  take(length: number): Uint8Array {
    const bytes = this.peek(length);
    this.at += length;
    return bytes;
  }

  /** The same, without going on. */
  peek(length: number): Uint8Array {
    if (length > this.left) throw new StreamCut(`the file ends at offset ${this.#file.sizeBytes}`);
    if (this.at < this.#pieceAt || this.at + length > this.#pieceAt + this.#piece.length) {
      this.#piece = this.#file.read(this.at, Math.min(Math.max(length, PIECE), this.left));
      this.#pieceAt = this.at;
    }
    const from = this.at - this.#pieceAt;
    return this.#piece.subarray(from, from + length);
  }

  /** Returns a little-endian number of at most 8 bytes. Above 2^53 its low bits are lost. */
  word(length: number): number {
    return this.take(length).reduceRight((word, byte) => word * 256 + byte, 0);
  }

  /** Throws {@link StreamCut} where the file ends before. */
  skip(length: number): void {
    if (length > this.left) this.peek(length);
    this.at += length;
  }
}

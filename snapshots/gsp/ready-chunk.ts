import { inflateRawSync } from 'node:zlib';
import type { Segment } from '../memory.js';
import type { Addr } from '../address.js';
import { compress } from './compress.js';
import { readRanges } from './ranges.js';

/** The content of one memory section. */
export interface Chunk {
  readonly bytes: Uint8Array;
  /** Which addresses the bytes belong to, as RangeWriter in ranges.ts encodes them. */
  readonly ranges: Uint8Array;
}

/**
 * A chunk of memory that is made long before it is written, in the form that it has in the file. It may be packed
 * meanwhile, so that a copy of a large process takes no more memory than its file.
 */
export class ReadyChunk {
  /** Which addresses the bytes belong to, as RangeWriter encodes them. */
  readonly ranges: Uint8Array;
  readonly rawBytes: number;
  #bytes: Uint8Array | null;
  #packed: Buffer | null = null;

  constructor({ bytes, ranges }: Chunk) {
    this.ranges = ranges;
    this.rawBytes = bytes.length;
    this.#bytes = bytes;
  }

  /** The compressed bytes, or null unless {@link pack} has made them. */
  get packed(): Buffer | null {
    return this.#packed;
  }

  /** True if the bytes are at hand without being unpacked. */
  get isPlain(): boolean {
    return this.#bytes !== null;
  }

  /** Compresses the bytes in Node's thread pool. Lets go of them unless they are to be kept: their buffer may be used again. */
  async pack(keepsBytes: boolean): Promise<void> {
    if (this.#bytes === null) return;
    // A copy: what zlib returns may be a part of a buffer that is as large as the chunk.
    this.#packed = Buffer.from(await compress(this.#bytes));
    if (!keepsBytes) this.#bytes = null;
  }

  /** The bytes; if they are packed, a copy that the caller should keep for as long as it reads them. */
  bytes(): Uint8Array {
    if (this.#bytes !== null) return this.#bytes;
    return inflateRawSync(this.#packed ?? NOTHING, { maxOutputLength: this.rawBytes, chunkSize: this.rawBytes + 64 });
  }

  segments(): Segment[] {
    const out: Segment[] = [];
    const bytes = this.bytes();
    let at = 0;
    readRanges(this.ranges, (lo, hi) => {
      out.push({ addr: lo as Addr, bytes: bytes.subarray(at, at + hi - lo) });
      at += hi - lo;
    });
    return out;
  }
}

const NOTHING = Buffer.alloc(0);

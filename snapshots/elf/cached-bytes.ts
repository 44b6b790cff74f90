import type { FileBytes } from '../regular-file.js';

/** Size of a block, in bytes. */
const BLOCK = 2 ** 16;
const KEPT_BLOCKS = 64;

/** Caches a few blocks of a file, so that many small reads near each other cost one read of the file. */
export class CachedBytes implements FileBytes {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #file: FileBytes;
  readonly #blocks = new Map<number, Uint8Array>();

  constructor(file: FileBytes) {
    this.#file = file;
    this.path = file.path;
    this.sizeBytes = file.sizeBytes;
  }

  read(offset: number, length: number): Uint8Array {
    const inBlock = offset % BLOCK;
    const inside = offset >= 0 && length >= 0 && inBlock + length <= BLOCK && offset + length <= this.sizeBytes;
    if (!inside) return this.#file.read(offset, length);
    return this.#block(offset - inBlock).subarray(inBlock, inBlock + length);
  }

  close(): void {
    this.#blocks.clear();
    this.#file.close();
  }

  #block(start: number): Uint8Array {
    const kept = this.#blocks.get(start);
    if (kept !== undefined) return kept;
    const block = this.#file.read(start, Math.min(BLOCK, this.sizeBytes - start));
    const [oldest] = this.#blocks.keys();
    if (oldest !== undefined && this.#blocks.size >= KEPT_BLOCKS) this.#blocks.delete(oldest);
    this.#blocks.set(start, block);
    return block;
  }
}

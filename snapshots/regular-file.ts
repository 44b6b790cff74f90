import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { Bytes, BytesError } from './bytes.js';
import { badFile } from './errors.js';
import { fileError } from './file-errors.js';

/** Bytes that are read piece by piece, by offset. */
export interface FileBytes {
  /** Names the bytes in messages. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Returns the bytes [offset, offset + length), to be read only. Throws {@link BytesError} if some do not exist. */
  read(offset: number, length: number): Uint8Array;
  close(): void;
}

/** Bytes in this process's memory. */
export class InMemoryBytes implements FileBytes {
  readonly path: string;
  readonly #bytes: Uint8Array;

  constructor(path: string, bytes: Uint8Array) {
    this.path = path;
    this.#bytes = bytes;
  }

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  read(offset: number, length: number): Uint8Array {
    return new Bytes(this.#bytes, offset).take(length);
  }

  close(): void {
    return;
  }
}

/** A regular file on disk. */
export class RegularFile implements FileBytes {
  readonly path: string;
  /** Size of the file when it was opened. */
  readonly sizeBytes: number;
  #fd: number;

  /**
   * Opens `path`. With `fd`, takes over that open descriptor instead, and `path` only names it in messages. Throws
   * `badFile` if the file does not exist or is a folder, a device or a pipe.
   */
  constructor(path: string, fd?: number) {
    this.path = path;
    this.#fd = fd ?? openForReading(path);
    const stat = fstatSync(this.#fd);
    this.sizeBytes = stat.size;
    if (stat.isFile()) return;
    this.close();
    throw badFile(`cannot read ${path}: it is ${stat.isDirectory() ? 'a folder' : 'not a regular file'}`);
  }

  /** The open descriptor, for another thread that reads the file too; negative once it is closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Throws {@link BytesError} if the file ends too early, and `badFile` if the system cannot read it. */
  read(offset: number, length: number): Buffer {
    if (this.#fd < 0) throw new BytesError(`${this.path} was closed`);
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes)) {
      throw new BytesError(`${length} bytes at ${offset} are not in a file of ${this.sizeBytes} bytes`);
    }
    const out = Buffer.allocUnsafeSlow(length);
    for (let done = 0; done < length;) {
      const n = this.#readInto(out, done, offset + done);
      if (n === 0) throw new BytesError(`${this.path} became shorter while it was read: it ends at ${offset + done}`);
      done += n;
    }
    return out;
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #readInto(out: Buffer, at: number, offset: number): number {
    try {
      return readSync(this.#fd, out, at, out.length - at, offset);
    } catch (error) {
      throw fileError(`cannot read ${this.path} at offset ${offset}`, error);
    }
  }
}

function openForReading(path: string): number {
  try {
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw fileError(`cannot open ${path}`, error);
  }
}

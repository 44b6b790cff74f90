import { randomBytes } from 'node:crypto';
import { closeSync, constants, createReadStream, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { describe, HEAD_BYTES, kindOf } from './detect.js';
import { badFile, GospyError } from './errors.js';
import { fileError, systemCode } from './file-errors.js';

/** Compression formats in which cores can be read. */
export type Packing = 'gzip' | 'zstd';

const TOOLS = { gzip: 'gunzip', zstd: 'unzstd' } as const;

/** The content of a compressed file, in a temporary file that no longer has a name. */
export interface Unpacked {
  readonly fd: number;
  /** A sentence on why the content ends early; null if it is complete. */
  readonly problem: string | null;
}

/** Largest accepted size of an unpacked core, in bytes: even zeros that take no disk space take time. */
const LARGEST = 2 ** 38;
const READ_BYTES = 2 ** 20;
/** Runs of zeros become holes in units of this many bytes. */
const PAGE = 4096;
const ZEROS = Buffer.alloc(PAGE);
/** Number of unpacked bytes between two calls of `progress`. */
const PROGRESS_BYTES = 2 ** 28;

/**
 * Unpacks a compressed core into a temporary sparse file. The file's name is removed at once, so that the file vanishes
 * when the descriptor is closed, however gospy ends. If the stream is cut short or damaged, what came before is kept.
 * `progress` is called with the number of bytes unpacked so far. Throws `badFile` if the content is not a core or is too
 * large, or if the disk is full; throws the reason of `signal` once that is aborted.
 */
export async function unpackCore(
  path: string,
  packing: Packing,
  progress: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<Unpacked> {
  const out = new CoreSink(path, packing, progress);
  try {
    const problem = await fill(out, path, packing, signal);
    out.finish();
    return { fd: out.fd, problem };
  } catch (error) {
    closeSync(out.fd);
    throw error;
  }
}

/** Unpacks the file into `out`. Returns why the stream ended early, or null if it did not. */
async function fill(out: CoreSink, path: string, packing: Packing, signal?: AbortSignal): Promise<string | null> {
  try {
    const source = createReadStream(path, { highWaterMark: READ_BYTES });
    if (packing === 'gzip') {
      // `pipe` does not forward errors: without this, a failing read would never end the loop.
      source.on('error', (error) => unzipped.destroy(error));
      const unzipped = source.pipe(createGunzip({ chunkSize: READ_BYTES }));
      for await (const chunk of unzipped) {
        signal?.throwIfAborted();
        out.write(chunk as Buffer);
      }
    } else {
      const { Decompress } = await import('fzstd');
      const stream = new Decompress((chunk) => out.write(chunk));
      for await (const chunk of source) {
        signal?.throwIfAborted();
        stream.push(chunk as Buffer);
      }
      stream.push(new Uint8Array(0), true);
    }
    out.assertCore();
    return null;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof GospyError) throw error;
    if (systemCode(error) !== null) throw fileError(`cannot unpack ${path}`, error);
    out.assertCore();
    const why = error instanceof Error ? error.message : String(error);
    return `the ${packing} stream of ${path} is cut or damaged after ${out.sizeBytes} unpacked bytes: ${why}`;
  }
}

/** Writes unpacked bytes to a temporary file, with holes in place of zeros. */
class CoreSink {
  readonly fd: number;
  sizeBytes = 0;
  readonly #path: string;
  readonly #packing: Packing;
  readonly #progress: (bytes: number) => void;
  #checked = false;
  #reportedBytes = 0;

  constructor(path: string, packing: Packing, progress: (bytes: number) => void) {
    this.#path = path;
    this.#packing = packing;
    this.#progress = progress;
    this.fd = namelessFile();
  }

  /** Appends bytes. Throws `badFile` if they are not those of a core, become too many, or cannot be written. */
  write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (!this.#checked) this.#check(bytes);
    if (this.sizeBytes + bytes.length > LARGEST) {
      throw badFile(`${this.#path} unpacks to more than ${LARGEST} bytes, which no core has`);
    }
    for (let at = 0; at < bytes.length;) {
      const length = Math.min(bytes.length - at, PAGE - ((this.sizeBytes + at) % PAGE));
      const piece = bytes.subarray(at, at + length);
      let end = at + length;
      if (Buffer.compare(piece, ZEROS.subarray(0, length)) !== 0) {
        // Write all following pages that are not zero in one call.
        while (end + PAGE <= bytes.length && Buffer.compare(bytes.subarray(end, end + PAGE), ZEROS) !== 0) end += PAGE;
        this.#put(bytes.subarray(at, end), this.sizeBytes + at);
      }
      at = end;
    }
    this.sizeBytes += bytes.length;
    if (this.sizeBytes - this.#reportedBytes < PROGRESS_BYTES) return;
    this.#reportedBytes = this.sizeBytes;
    this.#progress(this.sizeBytes);
  }

  /** Throws `badFile` if nothing was written: an empty file is not a core. */
  assertCore(): void {
    if (!this.#checked) this.#check(new Uint8Array(0));
  }

  /** Sets the length of the file, which matters if it ends in a hole. */
  finish(): void {
    ftruncateSync(this.fd, this.sizeBytes);
  }

  /** Throws `badFile` unless a file that starts with `head` is a core. */
  #check(head: Uint8Array): void {
    const content = kindOf(head.subarray(0, HEAD_BYTES));
    if (content.kind !== 'core') {
      const what = `cannot read ${this.#path}: it is a ${this.#packing} file with ${describe(content)} in it`;
      throw badFile(what, { hint: `gospy unpacks only cores; unpack it first, with ${TOOLS[this.#packing]}` });
    }
    this.#checked = true;
  }

  #put(bytes: Uint8Array, offset: number): void {
    try {
      for (let done = 0; done < bytes.length;) {
        done += writeSync(this.fd, bytes, done, bytes.length - done, offset + done);
      }
    } catch (error) {
      throw fileError(`cannot unpack ${this.#path} into ${tmpdir()}`, error, 'set TMPDIR to another folder');
    }
  }
}

/** Opens a new temporary file and removes its name. */
function namelessFile(): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const path = join(tmpdir(), `gospy-${process.pid}-${randomBytes(8).toString('hex')}.core`);
  try {
    const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    unlinkSync(path);
    return fd;
  } catch (error) {
    throw fileError(`cannot make a temporary file in ${tmpdir()}`, error, 'set TMPDIR to another folder');
  }
}

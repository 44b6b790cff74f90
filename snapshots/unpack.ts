import { randomBytes } from 'node:crypto';
import { closeSync, constants, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, HEAD_BYTES, kindOf } from './detect.js';
import { badFile, GospyError } from './errors.js';
import { fileError, systemCode } from './file-errors.js';
import { RegularFile } from './regular-file.js';
import { unpackGzip } from './packing/gzip.js';
import { StreamCut, StreamRefused, TrailingBytes } from './packing/stream-errors.js';
import { unpackZstd } from './packing/zstd.js';

/** Compression formats in which cores can be read. */
export type Packing = 'gzip' | 'zstd';

const TOOLS = { gzip: 'gunzip', zstd: 'unzstd' } as const;

/** The content of a compressed file, in a temporary file that no longer has a name. */
export interface Unpacked {
  readonly fd: number;
  /** What is wrong with the compressed file; null where nothing is. */
  readonly problem: PackingProblem | null;
}

/** Why not all of a compressed file could be unpacked, or not all of it can be trusted. */
export interface PackingProblem {
  /** A sentence. */
  readonly message: string;
  /** True if all that was unpacked is right, though it may end early; false if any of it may be wrong. */
  readonly isTrusted: boolean;
}

/** Largest accepted size of an unpacked core, in bytes: even zeros that take no disk space take time. */
const LARGEST = 2 ** 38;
/** Runs of zeros become holes in units of this many bytes. */
const PAGE = 4096;
const ZEROS = Buffer.alloc(PAGE);
/** Number of unpacked bytes after which other work of this process has its turn. */
const TURN_BYTES = 2 ** 23;
/** Number of unpacked bytes between two calls of `progress`. */
const PROGRESS_BYTES = 2 ** 28;

/**
 * Unpacks a compressed core into a temporary sparse file. The file's name is removed at once, so that the file vanishes
 * when the descriptor is closed, however gospy ends. If the stream is cut short or damaged, what came before is kept.
 * `progress` is called with the number of bytes unpacked so far. Throws `badFile` if the content is not a core or is too
 * large, if nothing can be unpacked, or if the disk is full; throws the reason of `signal` once that is aborted.
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
    out.finish(problem);
    return { fd: out.fd, problem };
  } catch (error) {
    closeSync(out.fd);
    throw error;
  }
}

/** Unpacks the file into `out`. Returns what is wrong with it, or null. */
async function fill(
  out: CoreSink,
  path: string,
  packing: Packing,
  signal?: AbortSignal,
): Promise<PackingProblem | null> {
  try {
    const file = new RegularFile(path);
    try {
      await copy(packing === 'gzip' ? unpackGzip(file) : unpackZstd(file), out, signal);
    } finally {
      file.close();
    }
    return null;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof StreamRefused) throw badFile(`cannot unpack ${path}: ${error.message}`, { hint: error.hint });
    if (error instanceof GospyError) throw error;
    if (systemCode(error) !== null) throw fileError(`cannot unpack ${path}`, error);
    return problemOf(error, path, packing, out.sizeBytes);
  }
}

async function copy(
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  out: CoreSink,
  signal?: AbortSignal,
): Promise<void> {
  let bytes = 0;
  for await (const piece of content) {
    out.write(piece);
    bytes += piece.length;
    if (bytes < TURN_BYTES) continue;
    bytes = 0;
    // Signals are noticed between two turns of the event loop.
    await setImmediate();
    signal?.throwIfAborted();
  }
  signal?.throwIfAborted();
}

function problemOf(error: unknown, path: string, packing: Packing, sizeBytes: number): PackingProblem {
  const why = error instanceof Error ? error.message : String(error);
  if (error instanceof TrailingBytes)
    return { message: `${path} has something behind its end: ${why}`, isTrusted: true };
  const isTrusted = error instanceof StreamCut;
  const what = isTrusted ? `is cut: its ${packing} stream ends early` : `is damaged: its ${packing} stream is wrong`;
  return { message: `${path} ${what}, after ${sizeBytes} unpacked bytes: ${why}`, isTrusted };
}

/** Writes unpacked bytes to a temporary file, with holes in place of zeros. */
class CoreSink {
  readonly fd: number;
  sizeBytes = 0;
  readonly #path: string;
  readonly #packing: Packing;
  readonly #progress: (bytes: number) => void;
  /** The first bytes, until they are known to be those of a core. */
  #head: Buffer | null = Buffer.alloc(0);
  #reportedBytes = 0;

  constructor(path: string, packing: Packing, progress: (bytes: number) => void) {
    this.#path = path;
    this.#packing = packing;
    this.#progress = progress;
    this.fd = namelessFile();
  }

  /** Appends bytes. Throws `badFile` if they are not those of a core, become too many, or cannot be written. */
  write(bytes: Uint8Array): void {
    if (this.#head !== null && this.#head.length + bytes.length < HEAD_BYTES) {
      this.#head = Buffer.concat([this.#head, bytes]);
      return;
    }
    if (this.#head !== null) this.#put(Buffer.concat([this.#takeHead(bytes), bytes]));
    else this.#put(bytes);
  }

  /** Writes what is left, and sets the length of the file, which matters if it ends in a hole. `problem` explains why. */
  finish(problem: PackingProblem | null): void {
    if (this.#head?.length === 0 && problem !== null) {
      throw badFile(problem.message, { hint: 'copy the file again from where it was written, if that one is whole' });
    }
    if (this.#head !== null) this.#put(this.#takeHead());
    ftruncateSync(this.fd, this.sizeBytes);
  }

  /** Returns the first bytes. Throws `badFile` unless a file that starts with them, and with `more`, is a core. */
  #takeHead(more: Uint8Array = new Uint8Array(0)): Buffer {
    const head = this.#head ?? Buffer.alloc(0);
    const content = kindOf(Buffer.concat([head, more.subarray(0, HEAD_BYTES)]).subarray(0, HEAD_BYTES));
    if (content.kind !== 'core') {
      const what = `cannot read ${this.#path}: it is a ${this.#packing} file with ${describe(content)} in it`;
      throw badFile(what, { hint: `gospy unpacks only cores; unpack it first, with ${TOOLS[this.#packing]}` });
    }
    this.#head = null;
    return head;
  }

  #put(bytes: Uint8Array): void {
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
        this.#writeAt(bytes.subarray(at, end), this.sizeBytes + at);
      }
      at = end;
    }
    this.sizeBytes += bytes.length;
    if (this.sizeBytes - this.#reportedBytes < PROGRESS_BYTES) return;
    this.#reportedBytes = this.sizeBytes;
    this.#progress(this.sizeBytes);
  }

  #writeAt(bytes: Uint8Array, offset: number): void {
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

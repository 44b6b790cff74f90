import { randomBytes } from 'node:crypto';
import { closeSync, constants, createReadStream, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { describe, kindOf } from './detect.js';
import { badFile, GospyError } from './errors.js';
import { fileError, systemCode } from './file-errors.js';

/** The compressions that are undone here. */
export type Packing = 'gzip' | 'zstd';

const TOOLS = { gzip: 'gunzip', zstd: 'unzstd' } as const;

/** A file that was compressed, as an open descriptor of a temporary one that has no name any more. */
export interface Unpacked {
  readonly fd: number;
  /** Why the content ends early, a sentence; null where it is whole. */
  readonly problem: string | null;
}

/** A core of more bytes is refused: zeros that take no room on the disk take time all the same. */
const LARGEST = 2 ** 38;
const READ_BYTES = 2 ** 20;
/** Holes come in multiples of this. */
const PAGE = 4096;
const ZEROS = Buffer.alloc(PAGE);
/** Bytes of content after which `progress` is told again. */
const STEP = 2 ** 28;

/**
 * Unpacks a compressed core into a temporary sparse file, whose name is removed as soon as it is open: it is gone when
 * the descriptor is closed, however gospy ends. A stream that is cut or broken yields what was before. Throws `badFile`
 * where there is no core in it, it is larger than any, or the disk is full; and the reason of `signal` once it is aborted.
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

/** Returns why the stream ended early, or null. */
async function fill(out: CoreSink, path: string, packing: Packing, signal?: AbortSignal): Promise<string | null> {
  try {
    const source = createReadStream(path, { highWaterMark: READ_BYTES });
    if (packing === 'gzip') {
      // `pipe` would not end where the file cannot be read.
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
    return `the ${packing} stream of ${path} is cut or damaged behind ${out.sizeBytes} unpacked bytes: ${why}`;
  }
}

/** Where unpacked bytes go: a file with holes for zeros. */
class CoreSink {
  readonly fd: number;
  sizeBytes = 0;
  readonly #path: string;
  readonly #packing: Packing;
  readonly #progress: (bytes: number) => void;
  #checked = false;
  #told = 0;

  constructor(path: string, packing: Packing, progress: (bytes: number) => void) {
    this.#path = path;
    this.#packing = packing;
    this.#progress = progress;
    this.fd = namelessFile();
  }

  /** Throws `badFile`. */
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
        // Neighbours that are not zero go in one write.
        while (end + PAGE <= bytes.length && Buffer.compare(bytes.subarray(end, end + PAGE), ZEROS) !== 0) end += PAGE;
        this.#put(bytes.subarray(at, end), this.sizeBytes + at);
      }
      at = end;
    }
    this.sizeBytes += bytes.length;
    if (this.sizeBytes - this.#told < STEP) return;
    this.#told = this.sizeBytes;
    this.#progress(this.sizeBytes);
  }

  assertCore(): void {
    if (!this.#checked) this.#check(new Uint8Array(0));
  }

  finish(): void {
    ftruncateSync(this.fd, this.sizeBytes);
  }

  /** The first bytes tell what it is. */
  #check(head: Uint8Array): void {
    const content = kindOf(head.subarray(0, 512));
    if (content.kind !== 'core') {
      const what = `cannot read ${this.#path}: it is a ${this.#packing} file with ${describe(content)} in it`;
      throw badFile(what, { hint: `cores alone are unpacked here; unpack others first, with ${TOOLS[this.#packing]}` });
    }
    this.#checked = true;
  }

  #put(bytes: Uint8Array, offset: number): void {
    try {
      for (let done = 0; done < bytes.length;) {
        done += writeSync(this.fd, bytes, done, bytes.length - done, offset + done);
      }
    } catch (error) {
      throw fileError(`cannot unpack ${this.#path} into ${tmpdir()}`, error, 'TMPDIR names another folder');
    }
  }
}

function namelessFile(): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const path = join(tmpdir(), `gospy-${process.pid}-${randomBytes(8).toString('hex')}.core`);
  try {
    const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    unlinkSync(path);
    return fd;
  } catch (error) {
    throw fileError(`cannot make a temporary file in ${tmpdir()}`, error, 'TMPDIR names another folder');
  }
}

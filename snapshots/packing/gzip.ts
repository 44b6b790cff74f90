import { Readable } from 'node:stream';
import { createInflateRaw } from 'node:zlib';
import { BytesError } from '../bytes.js';
import type { FileBytes } from '../regular-file.js';
import { FileReader } from './file-reader.js';
import { StreamCut, TrailingBytes } from './stream-errors.js';

/** Bytes that are unpacked at a time: what is unpacked of a piece is lost where the piece is damaged. */
const PIECE = 2 ** 16;
const CHUNK = 2 ** 18;
const DEFLATE = 8;
/** FLG of a member's header. */
const Flag = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 } as const;

/**
 * Yields the content of a gzip file (RFC 1952), piece by piece. There may be any number of members, and zeros at the end, as
 * tapes have them. Throws {@link StreamCut}, {@link TrailingBytes}, or BytesError where it is damaged; all before were right,
 * except for a wrong checksum.
 */
export async function* unpackGzip(file: FileBytes): AsyncGenerator<Uint8Array> {
  const reader = new FileReader(file);
  for (let first = true; first || startsMember(reader); first = false) {
    readHeader(reader);
    let crc = 0;
    let sizeBytes = 0;
    for await (const piece of inflate(file, reader)) {
      crc = crc32(piece, crc);
      sizeBytes += piece.length;
      yield piece;
    }
    if (reader.word(4) !== crc) throw new BytesError('the checksum of a member is wrong');
    if (reader.word(4) !== sizeBytes % 2 ** 32) throw new BytesError('the size of a member is wrong');
  }
}

/** Returns whether another member follows, and false at the end. Throws {@link TrailingBytes} for anything else. */
function startsMember(reader: FileReader): boolean {
  if (reader.left >= 2) {
    const [first, second] = reader.peek(2);
    if (first === 0x1f && second === 0x8b) return true;
  }
  const { at, left } = reader;
  while (reader.left > 0) {
    if (reader.take(Math.min(PIECE, reader.left)).some((byte) => byte !== 0)) {
      throw new TrailingBytes(`${left} bytes at offset ${at} of the file are not gzip`);
    }
  }
  return false;
}

function readHeader(reader: FileReader): void {
  const [, , method, flags = 0] = reader.take(10);
  if (method !== DEFLATE || (flags & Flag.reserved) !== 0) throw new BytesError('the header of a member is damaged');
  if ((flags & Flag.extra) !== 0) reader.skip(reader.word(2));
  for (const text of [Flag.name, Flag.comment]) {
    if ((flags & text) !== 0) while (reader.word(1) !== 0);
  }
  if ((flags & Flag.headerCrc) !== 0) reader.skip(2);
}

/** Yields the content of a deflated stream, and leaves the reader at its end. */
async function* inflate(file: FileBytes, reader: FileReader): AsyncGenerator<Uint8Array> {
  const engine = createInflateRaw({ chunkSize: CHUNK });
  const source = Readable.from(piecesFrom(file, reader.at), { highWaterMark: 1 });
  // `pipe` does not forward errors: without this, a failing read would never end the loop.
  source.on('error', (error) => engine.destroy(error));
  source.pipe(engine);
  try {
    for await (const piece of engine) yield piece as Buffer;
    // Of what it was given, the engine has taken what belongs to the stream.
    reader.at += engine.bytesWritten;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === ENDS_EARLY) throw new StreamCut(`the file ends at offset ${file.sizeBytes}`);
    throw error instanceof Error && code.startsWith('Z_') ? new BytesError(error.message) : error;
  } finally {
    source.destroy();
    engine.destroy();
  }
}

/** What zlib reports of a stream that ends early. */
const ENDS_EARLY = 'Z_BUF_ERROR';

function* piecesFrom(file: FileBytes, start: number): Generator<Uint8Array> {
  for (let at = start; at < file.sizeBytes; at += PIECE) yield file.read(at, Math.min(PIECE, file.sizeBytes - at));
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let crc = n;
  for (let i = 0; i < 8; i++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc >>> 0;
});

/** Continues a CRC-32 (RFC 1952, 8). */
function crc32(bytes: Uint8Array, before: number): number {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ (bytes[i] ?? 0)) & 255] ?? 0);
  return ~crc >>> 0;
}

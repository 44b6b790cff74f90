import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import { BytesError } from '../bytes.js';
import { badFile, quoted, shortened, type GospyError } from '../errors.js';
import { RegularFile } from '../regular-file.js';
import { Fields } from './fields.js';
import {
  Limit,
  packTrailer,
  readHeader,
  readIndex,
  readTrailer,
  TRAILER_LENGTH,
  type Header,
  type SectionEntry,
  type Trailer,
} from './format.js';
import { measure, unpack } from './msgpack.js';
import { ReadAhead } from './read-ahead.js';

/** Sections of unknown types may have any size: they are hashed in steps of this many bytes. */
const HASH_STEP = 2 ** 20;

/** Largest accepted number of msgpack values in a header, in a trailer, and in a section. */
const HEAD_ITEMS = 200;
/** Characters of a section's name in a message. */
const NAME_SHOWN = 64;

/**
 * A .gsp file as a list of verified sections. Header, trailer and index are verified when the file is opened, each section
 * when it is read. Bytes with a wrong digest are never returned. All errors are `badFile` and name section and offset.
 */
export class Container {
  readonly path: string;
  readonly header: Header;
  readonly headerLength: number;
  readonly trailer: Trailer;
  /** In file order, without header, index and trailer. */
  readonly sections: readonly SectionEntry[];
  /** Uncompressed size of the index. */
  readonly indexRawBytes: number;
  readonly #file: RegularFile;

  constructor(path: string) {
    this.path = path;
    this.#file = new RegularFile(path);
    try {
      const { header, bytes } = readHeaderOf(this.#file);
      this.header = header;
      this.headerLength = bytes.length;
      this.trailer = this.#readTrailer();
      if (!sha256(bytes).equals(this.trailer.headerSha256))
        throw damaged(path, 'header', 0, 'its SHA-256 does not match');
      const { raw, sections } = this.#readIndex();
      this.indexRawBytes = raw.length;
      this.sections = sections;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#file.close();
  }

  /** Returns the content of a section, verified and uncompressed. */
  read(entry: SectionEntry): Uint8Array {
    return readSection(this.#file, entry);
  }

  /** Begins to read sections in another thread. `numbers` says which those of the list are. */
  readAhead(entries: readonly SectionEntry[], numbers: readonly number[]): ReadAhead {
    return new ReadAhead(this.path, this.#file.fd, entries, numbers);
  }

  /** Decodes the content of a section with `decode`, whose errors then name the section and its offset. */
  decode<T>(entry: SectionEntry, decode: (value: unknown) => T): T {
    return this.decodeLater(entry, decode)();
  }

  /** Reads and verifies a section, and returns what decodes it. */
  decodeLater<T>(entry: SectionEntry, decode: (value: unknown) => T): () => T {
    const raw = this.read(entry);
    return () => this.#guard(entry.name, entry.offset, () => decode(unpack(raw, Limit.items)));
  }

  /** Verifies only the digest, for sections of a type that this gospy does not know. */
  checkDigest(entry: SectionEntry): void {
    this.#guard(entry.name, entry.offset, () => {
      const hash = createHash('sha256');
      for (let at = 0; at < entry.length; at += HASH_STEP) {
        hash.update(this.#file.read(entry.offset + at, Math.min(HASH_STEP, entry.length - at)));
      }
      if (!hash.digest().equals(entry.sha256)) throw new BytesError('its SHA-256 does not match');
    });
  }

  #readTrailer(): Trailer {
    const has = this.#file.sizeBytes;
    const said = this.header.sizeBytes;
    const offset = has - TRAILER_LENGTH;
    const trailer = offset < 0 ? null : parseTrailer(this.#file.read(offset, TRAILER_LENGTH));
    if (trailer === null) throw this.#incomplete(has, said);
    if (trailer.sizeBytes !== has || said !== has) {
      const sizes = `the file has ${has} bytes, its header says ${said} and its trailer ${trailer.sizeBytes}`;
      throw damaged(this.path, 'trailer', offset, sizes);
    }
    return trailer;
  }

  #incomplete(has: number, said: number): GospyError {
    if (said > has) {
      return badFile(
        `${this.path} is truncated: it has ${has} of ${said} bytes, ${said - has} are missing at the end`,
        {
          hint: 'copy it again from where it was captured',
        },
      );
    }
    if (said === 0) return badFile(`${this.path} is truncated: its writer did not finish it`);
    if (said < has) return badFile(`${this.path} is damaged: ${has - said} bytes follow its end at ${said}`);
    return damaged(this.path, 'trailer', Math.max(0, has - TRAILER_LENGTH), 'it is not a trailer');
  }

  #readIndex(): { raw: Uint8Array; sections: SectionEntry[] } {
    const { indexOffset, indexLength, indexSha256 } = this.trailer;
    return this.#guard('index', indexOffset, () => {
      if (indexOffset + indexLength + TRAILER_LENGTH !== this.#file.sizeBytes || indexOffset < this.headerLength) {
        throw new BytesError(`the trailer places ${indexLength} bytes of it there, which cannot be`);
      }
      if (indexLength > 2 * Limit.meta) throw new BytesError('it is too large');
      const bytes = this.#file.read(indexOffset, indexLength);
      if (!sha256(bytes).equals(indexSha256)) throw new BytesError('its SHA-256 does not match');
      const raw = inflate(bytes, 'index', null);
      return { raw, sections: readIndex(unpack(raw, Limit.items), this.headerLength, indexOffset) };
    });
  }

  #guard<T>(section: string, offset: number, action: () => T): T {
    return guard(this.path, section, offset, action);
  }
}

/** Returns the content of a section, verified and uncompressed. Throws `badFile`. */
export function readSection(
  file: RegularFile,
  { name, offset, length, rawBytes, sha256: digest }: SectionEntry,
): Uint8Array {
  return guard(file.path, name, offset, () => {
    const bytes = file.read(offset, length);
    if (!sha256(bytes).equals(digest)) throw new BytesError('its SHA-256 does not match');
    return inflate(bytes, name, rawBytes);
  });
}

/**
 * Reads the header of a .gsp file, whatever follows it. Throws `badFile` if it is not a .gsp file, the header is damaged,
 * or the format is newer.
 */
export function readHeaderOf(file: RegularFile): { header: Header; bytes: Uint8Array } {
  return guard(file.path, 'header', 0, () => {
    const start = file.read(0, Math.min(file.sizeBytes, Limit.header));
    if (!isSnapshot(start)) throw badFile(`${file.path} is not a gospy snapshot: it does not start like one`);
    const bytes = start.subarray(0, measure(start, HEAD_ITEMS));
    return { header: readHeader(unpack(bytes, HEAD_ITEMS), file.path), bytes };
  });
}

/** Runs `action` and turns a {@link BytesError} into `badFile`, with section and offset. */
function guard<T>(path: string, section: string, offset: number, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof BytesError ? damaged(path, section, offset, error.message, error) : error;
  }
}

function damaged(path: string, section: string, offset: number, what: string, cause?: unknown): GospyError {
  return badFile(`${path} is damaged in its ${shortened(section, NAME_SHOWN)} section at offset ${offset}: ${what}`, {
    cause,
  });
}

/** Returns whether a file that starts with `bytes` is a .gsp file, whole or not. */
export function isSnapshot(bytes: Uint8Array): boolean {
  const first = bytes[0] ?? 0;
  return (
    first > 0x80 && first < 0x90 && Buffer.from(bytes.subarray(1, 14)).toString('latin1') === '\xa6format\xa5gospy'
  );
}

/** Parses a trailer. Returns null unless a writer would encode its fields in exactly these bytes. */
function parseTrailer(bytes: Uint8Array): Trailer | null {
  try {
    const trailer = readTrailer(unpack(bytes, HEAD_ITEMS));
    return packTrailer(trailer).equals(bytes) ? trailer : null;
  } catch (error) {
    if (error instanceof BytesError) return null;
    throw error;
  }
}

/** Unpacks the content of a section called `name`. `rawBytes` is its size by the index, null for the index itself. */
function inflate(bytes: Uint8Array, name: string, rawBytes: number | null): Uint8Array {
  const fields = new Fields(unpack(bytes, HEAD_ITEMS), 'section');
  if (fields.text('section') !== name) throw new BytesError(`it calls itself ${quoted(fields.text('section'))}`);
  const size = fields.count('rawBytes');
  if (rawBytes === null ? size > Limit.meta : size !== rawBytes) throw new BytesError(`it cannot hold ${size} bytes`);
  const encoding = fields.text('encoding');
  if (encoding !== 'deflate-raw') throw new BytesError(`its encoding ${quoted(encoding)} is not known`);
  let raw: Buffer;
  try {
    raw = inflateRawSync(fields.bytes('data'), {
      maxOutputLength: Math.max(1, size),
      chunkSize: Math.max(64, size + 1),
    });
  } catch (error) {
    throw new BytesError(`it cannot be uncompressed: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (raw.length !== size) throw new BytesError(`it holds ${raw.length} bytes and not ${size}`);
  return raw;
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

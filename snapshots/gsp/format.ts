import { BytesError } from '../bytes.js';
import { badFile, quoted, shortened } from '../errors.js';
import { Fields } from './fields.js';
import { pack } from './msgpack.js';

/** The format version that this gospy writes; it reads this one and all earlier ones. See docs/format.md. */
export const FORMAT_VERSION = 1;

/** Upper bounds for whatever could be large, for the writer and the reader. */
export const Limit = {
  /** Bytes of the header. */
  header: 4096,
  /** Bytes of memory that the writer puts into one section. */
  chunk: 2 ** 20,
  /** Bytes of memory that the reader accepts in one section. */
  memory: 2 ** 24,
  /** Bytes of the facts, and of the index. */
  meta: 2 ** 28,
  /** Number of msgpack values in the facts, and in the index. */
  items: 5_000_000,
} as const;

/** The first object of the file. */
export interface Header {
  readonly version: number;
  /** Version of the gospy that wrote the file, or null. */
  readonly writer: string | null;
  readonly arch: string;
  /** Size of the whole file; 0 if the writer did not finish it. */
  readonly sizeBytes: number;
}

/** An entry of the index: where a section is and what it holds. */
export interface SectionEntry {
  readonly name: string;
  /** Offset of the section's msgpack object from the start of the file, in bytes. */
  readonly offset: number;
  /** Length of that object, in bytes. */
  readonly length: number;
  /** Length of the section's uncompressed content, in bytes. */
  readonly rawBytes: number;
  /** SHA-256 of the object's bytes in the file. */
  readonly sha256: Uint8Array;
  /** For memory: which addresses the content belongs to, as gsp/ranges.ts encodes them. Else null. */
  readonly ranges: Uint8Array | null;
}

/** The last object of the file. */
export interface Trailer {
  readonly sizeBytes: number;
  /** SHA-256 of the header's bytes. */
  readonly headerSha256: Uint8Array;
  readonly indexOffset: number;
  readonly indexLength: number;
  /** SHA-256 of the index section's bytes in the file. */
  readonly indexSha256: Uint8Array;
}

export function packHeader(header: Header): Buffer {
  const { version, writer, arch, sizeBytes } = header;
  return pack({ format: 'gospy', version, writer, arch, sizeBytes: BigInt(sizeBytes) });
}

/** Reads a decoded header. Throws {@link badFile} if the format is newer, and BytesError if it is not a header. */
export function readHeader(value: unknown, path: string): Header {
  const fields = new Fields(value, 'header');
  const version = fields.count('version');
  const writer = fields.has('writer') ? fields.orNull('writer', (key) => fields.text(key)) : null;
  if (version > FORMAT_VERSION) {
    throw badFile(
      `${path} is a snapshot of format version ${version}` +
        `${writer === null ? '' : `, written by gospy ${shortened(writer, 64)}`}; this gospy reads versions up to ${FORMAT_VERSION}`,
      { hint: 'use a newer gospy' },
    );
  }
  return { version, writer, arch: fields.text('arch'), sizeBytes: fields.count('sizeBytes') };
}

export function packSection(name: string, rawBytes: number, data: Uint8Array): Buffer {
  return pack({ section: name, encoding: 'deflate-raw', rawBytes, data });
}

/** Encodes a trailer. Its length is always {@link TRAILER_LENGTH}: a bigint takes nine bytes, a digest 34. */
export function packTrailer(trailer: Trailer): Buffer {
  return pack({
    trailer: 'gospy',
    sizeBytes: BigInt(trailer.sizeBytes),
    headerSha256: trailer.headerSha256,
    indexOffset: BigInt(trailer.indexOffset),
    indexLength: BigInt(trailer.indexLength),
    indexSha256: trailer.indexSha256,
  });
}

/** Length of every trailer, in bytes. */
export const TRAILER_LENGTH = packTrailer({
  sizeBytes: 0,
  headerSha256: new Uint8Array(32),
  indexOffset: 0,
  indexLength: 0,
  indexSha256: new Uint8Array(32),
}).length;

/** Reads a decoded trailer. Throws BytesError if it is not one. */
export function readTrailer(value: unknown): Trailer {
  const fields = new Fields(value, 'trailer');
  return {
    sizeBytes: fields.count('sizeBytes'),
    headerSha256: fields.bytes('headerSha256'),
    indexOffset: fields.count('indexOffset'),
    indexLength: fields.count('indexLength'),
    indexSha256: fields.bytes('indexSha256'),
  };
}

export function packIndex(sections: readonly SectionEntry[]): Buffer {
  return pack({
    sections: sections.map(({ ranges, ...entry }) => (ranges === null ? entry : { ...entry, ranges })),
  });
}

/**
 * Reads a decoded index. Sections must be in file order and follow each other without gaps from the end of the header to
 * the index. Throws BytesError if they do not, or if it is not an index.
 */
export function readIndex(value: unknown, headerLength: number, indexOffset: number): SectionEntry[] {
  let at = headerLength;
  const sections = new Fields(value, 'index').list('sections', (item, where) => {
    const entry = readEntry(new Fields(item, where), at);
    at += entry.length;
    return entry;
  });
  if (at !== indexOffset) throw new BytesError(`the sections end at ${at} and not where the index starts`);
  return sections;
}

function readEntry(fields: Fields, expectedOffset: number): SectionEntry {
  const name = fields.text('name');
  const entry = {
    name,
    offset: fields.count('offset'),
    length: fields.count('length'),
    rawBytes: fields.count('rawBytes'),
    sha256: fields.bytes('sha256'),
    ranges: name === 'memory' ? fields.bytes('ranges') : null,
  };
  if (entry.offset !== expectedOffset) {
    throw new BytesError(`${fields.where} is at ${entry.offset} and not at ${expectedOffset}`);
  }
  const most = name === 'memory' ? Limit.memory : name === 'facts' || name === 'leaks' ? Limit.meta : Infinity;
  if (entry.rawBytes > most || entry.length > most + most / 1024 + Limit.header) {
    throw new BytesError(`${fields.where} (${quoted(name)}) is larger than ${most} bytes`);
  }
  return entry;
}

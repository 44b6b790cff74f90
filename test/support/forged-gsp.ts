import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import { packFacts } from '../../snapshots/gsp/facts.js';
import { packHeader, packTrailer, TRAILER_LENGTH, type Header } from '../../snapshots/gsp/format.js';
import { pack } from '../../snapshots/gsp/msgpack.js';
import { someFacts } from './gsp.js';

/** A section of a forged file, honest unless a field below says otherwise. */
export interface ForgedSection {
  readonly name: string;
  readonly raw: Uint8Array;
  /** Fields of the section's object that replace or extend the honest ones. */
  readonly object?: Readonly<Record<string, unknown>>;
  /** Fields of the section's entry in the index that replace or extend the honest ones. */
  readonly entry?: Readonly<Record<string, unknown>>;
}

export interface Forged {
  readonly header?: Partial<Header> & Readonly<Record<string, unknown>>;
  readonly sections: readonly ForgedSection[];
  /** Bytes that replace those of the index. */
  readonly index?: Uint8Array;
}

/** The facts section of an honest file. */
export const HONEST_FACTS: ForgedSection = { name: 'facts', raw: packFacts(someFacts()) };

/** Writes a file in which every digest is right, whatever else is wrong. */
export function forge(path: string, { header, sections, index }: Forged): void {
  const parts: Buffer[] = [];
  const plainHeader = { version: 1, writer: '0.1.0', arch: 'amd64', sizeBytes: 0, ...header };
  const headerOf = (sizeBytes: number): Buffer => {
    const { version, writer, arch, ...rest } = { ...plainHeader, sizeBytes };
    if (header === undefined) return packHeader({ version, writer, arch, sizeBytes });
    return pack({ format: 'gospy', version, writer, arch, ...rest, sizeBytes: BigInt(sizeBytes) });
  };
  let at = headerOf(0).length;
  const entries = sections.map(({ name, raw, object, entry }) => {
    const bytes = sectionOf(name, raw, object);
    parts.push(bytes);
    const offset = at;
    at += bytes.length;
    return { name, offset, length: bytes.length, rawBytes: raw.length, sha256: sha256(bytes), ...entry };
  });
  const indexSection = sectionOf('index', index ?? pack({ sections: entries }));
  const sizeBytes = at + indexSection.length + TRAILER_LENGTH;
  const head = headerOf(sizeBytes);
  const trailer = packTrailer({
    sizeBytes,
    headerSha256: sha256(head),
    indexOffset: at,
    indexLength: indexSection.length,
    indexSha256: sha256(indexSection),
  });
  writeFileSync(path, Buffer.concat([head, ...parts, indexSection, trailer]));
}

function sectionOf(section: string, raw: Uint8Array, object: Readonly<Record<string, unknown>> = {}): Buffer {
  return pack({ section, encoding: 'deflate-raw', rawBytes: raw.length, data: deflateRawSync(raw), ...object });
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

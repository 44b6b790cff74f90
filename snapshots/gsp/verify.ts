import { GospyError } from '../errors.js';
import { RegularFile } from '../regular-file.js';
import { Container, readHeaderOf } from './container.js';
import type { Facts } from './facts.js';
import { TRAILER_LENGTH } from './format.js';
import { LEAKS } from './leaks-section.js';
import { factsIn, leaksIn, sourceOf, workIn } from './read.js';
import { WORK } from './work-section.js';

/** Sections that are decoded once, and so verified. */
const DECODED: ReadonlySet<string> = new Set(['facts', LEAKS, WORK]);

/** All sections of one name. */
export interface SectionCheck {
  /** `header`, `facts`, `memory`, `index`, `trailer`, or a name that this gospy does not know. */
  readonly name: string;
  /** Offset of the first one from the start of the file, in bytes. */
  readonly offset: number;
  readonly count: number;
  /** Bytes that they take in the file. */
  readonly storedBytes: number;
  /** Uncompressed size of their content, in bytes. */
  readonly rawBytes: number;
}

/** The content of a snapshot, and whether it is intact. */
export interface SnapshotCheck {
  readonly kind: 'snapshot';
  /** True if every checksum is right and everything could be read. */
  readonly ok: boolean;
  /** What is wrong, one sentence each. */
  readonly problems: readonly string[];
  readonly formatVersion: number;
  /** Version of the gospy that wrote it, or null. */
  readonly writer: string | null;
  readonly sizeBytes: number;
  /** In file order. Empty if the index is damaged, since only the index knows the sections. */
  readonly sections: readonly SectionCheck[];
  /** Bytes of the process's memory, uncompressed. */
  readonly memoryBytes: number;
  /** Number of memory sections. */
  readonly chunks: number;
  /** null if they cannot be read. */
  readonly facts: Facts | null;
}

/**
 * Reads a whole snapshot and verifies every checksum. Whatever is damaged or missing is listed in `problems`. Throws
 * `badFile` only if the file cannot be opened, is not a snapshot, or is of a newer format.
 */
export function verifySnapshot(path: string): SnapshotCheck {
  const file = new RegularFile(path);
  try {
    const { header } = readHeaderOf(file);
    return { ...checkSections(path), formatVersion: header.version, writer: header.writer, sizeBytes: file.sizeBytes };
  } finally {
    file.close();
  }
}

/** Checks everything after the header. */
function checkSections(path: string): Omit<SnapshotCheck, 'formatVersion' | 'writer' | 'sizeBytes'> {
  const problems: string[] = [];
  const attempt = <T>(action: () => T): T | null => {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
      problems.push(error.message);
      return null;
    }
  };
  const file = attempt(() => new Container(path));
  try {
    const facts = file === null ? null : attempt(() => factsIn(file));
    if (file !== null) attempt(() => sourceOf(file));
    if (file !== null) attempt(() => leaksIn(file));
    if (file !== null) attempt(() => workIn(file)());
    for (const entry of file?.sections ?? []) {
      if (entry.name === 'memory') attempt(() => file?.read(entry));
      else if (!DECODED.has(entry.name)) attempt(() => file?.checkDigest(entry));
    }
    const memory = file?.sections.filter(({ name }) => name === 'memory') ?? [];
    return {
      kind: 'snapshot',
      ok: problems.length === 0,
      problems,
      sections: file === null ? [] : sumUpSections(file),
      memoryBytes: memory.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
      chunks: memory.length,
      facts,
    };
  } finally {
    file?.close();
  }
}

function sumUpSections({ headerLength, sections, trailer, indexRawBytes }: Container): SectionCheck[] {
  const one = (name: string, offset: number, storedBytes: number, rawBytes: number): SectionCheck => {
    return { name, offset, count: 1, storedBytes, rawBytes };
  };
  const out = [one('header', 0, headerLength, headerLength)];
  for (const { name, offset, length, rawBytes } of sections) {
    const i = out.findIndex((section) => section.name === name);
    const same = out[i];
    if (same === undefined) out.push(one(name, offset, length, rawBytes));
    else {
      const { count, storedBytes } = same;
      out[i] = { ...same, count: count + 1, storedBytes: storedBytes + length, rawBytes: same.rawBytes + rawBytes };
    }
  }
  const { indexOffset, indexLength } = trailer;
  out.push(one('index', indexOffset, indexLength, indexRawBytes));
  out.push(one('trailer', indexOffset + indexLength, TRAILER_LENGTH, TRAILER_LENGTH));
  return out;
}

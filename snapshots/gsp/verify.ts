import { GospyError } from '../errors.js';
import { RegularFile } from '../regular-file.js';
import { Container, readHeaderOf } from './container.js';
import type { Facts } from './facts.js';
import { TRAILER_LENGTH } from './format.js';
import { factsIn, sourceOf } from './read.js';

/** A part of the file. */
export interface SectionCheck {
  /** `header`, `facts`, `memory`, `index`, `trailer`, or the name of a section that this gospy does not know. */
  readonly name: string;
  /** Of the first of them, from the start of the file. */
  readonly offset: number;
  /** How many sections of that name lie there. */
  readonly count: number;
  readonly storedBytes: number;
  /** Uncompressed. */
  readonly rawBytes: number;
}

/** What is in a snapshot and whether it is whole. */
export interface SnapshotCheck {
  readonly kind: 'snapshot';
  /** True where every checksum was right and everything could be read. */
  readonly ok: boolean;
  /** What is wrong, one sentence each. */
  readonly problems: readonly string[];
  readonly formatVersion: number;
  /** Version of the gospy that wrote it, or null. */
  readonly writer: string | null;
  readonly sizeBytes: number;
  /** In file order; what lies behind a damaged index is not known. */
  readonly sections: readonly SectionCheck[];
  /** Bytes of memory of the process, uncompressed. */
  readonly memoryBytes: number;
  /** Sections that hold them. */
  readonly chunks: number;
  /** null where they cannot be read. */
  readonly facts: Facts | null;
}

/**
 * Reads a whole snapshot and verifies every checksum. What is damaged or missing is told in `problems`; throws `badFile`
 * only where the file cannot be opened, is no snapshot, or is of a newer format.
 */
export function verifySnapshot(path: string): SnapshotCheck {
  const start = new RegularFile(path);
  try {
    const { header } = readHeaderOf(start);
    return { ...checkBehind(path), formatVersion: header.version, writer: header.writer, sizeBytes: start.sizeBytes };
  } finally {
    start.close();
  }
}

type Checked = Omit<SnapshotCheck, 'formatVersion' | 'writer' | 'sizeBytes'>;

function checkBehind(path: string): Checked {
  const problems: string[] = [];
  const noted = <T>(action: () => T): T | null => {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
      problems.push(error.message);
      return null;
    }
  };
  const file = noted(() => new Container(path));
  try {
    const facts = file === null ? null : noted(() => factsIn(file));
    if (file !== null) noted(() => sourceOf(file));
    for (const entry of file?.sections ?? []) {
      if (entry.name === 'memory') noted(() => file?.read(entry));
      else if (entry.name !== 'facts') noted(() => file?.checkDigest(entry));
    }
    const memory = file?.sections.filter(({ name }) => name === 'memory') ?? [];
    return {
      kind: 'snapshot',
      ok: problems.length === 0,
      problems,
      sections: file === null ? [] : sectionsOf(file),
      memoryBytes: memory.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
      chunks: memory.length,
      facts,
    };
  } finally {
    file?.close();
  }
}

function sectionsOf({ headerLength, sections, trailer, indexRawBytes }: Container): SectionCheck[] {
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

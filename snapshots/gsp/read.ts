import { badFile } from '../errors.js';
import type { ProcessImage } from '../image.js';
import { Memory } from '../memory.js';
import { BytesError } from '../bytes.js';
import { Container } from './container.js';
import { readArch, readFacts, type Facts } from './facts.js';
import type { LeakProof } from '../leak-proof.js';
import type { Header } from './format.js';
import { LEAKS, readLeaks } from './leaks-section.js';
import type { StoredWork } from '../work.js';
import { SnapshotSource } from './source.js';
import { readWork, WORK } from './work-section.js';

/** A .gsp file as an image. */
export interface Snapshot extends ProcessImage {
  readonly kind: 'snapshot';
  readonly header: Header;
  /**
   * One sentence for each damaged memory section that was needed. Grows while the snapshot is read. Damage does not end
   * the analysis: reading an address of such a section throws MemoryFault.
   */
  readonly damage: readonly string[];
  /** Closes the file. Memory that was not read before is absent from then on. */
  close(): void;
}

/**
 * Opens a snapshot. All but memory is read and verified at once, memory when it is needed. Throws `badFile` if
 * the file is missing, not a snapshot, of a newer format, truncated, or damaged outside of its memory sections.
 */
export function openSnapshot(path: string): Snapshot {
  const file = new Container(path);
  try {
    const facts = factsIn(file);
    const source = sourceOf(file);
    const work = workIn(file);
    return {
      kind: 'snapshot',
      ...facts,
      leaks: leaksIn(file),
      get work() {
        return work();
      },
      memory: new Memory(source),
      header: file.header,
      get damage() {
        return source.damage;
      },
      close: () => {
        source.stopReadingAhead();
        file.close();
      },
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Reads the facts of an open file. Throws `badFile` if they are missing or damaged. */
export function factsIn(file: Container): Facts {
  const entry = file.sections.find(({ name }) => name === 'facts');
  if (entry === undefined) throw badFile(`${file.path} is damaged: it has no facts section`);
  const facts = file.decode(entry, readFacts);
  if (readArch(file.header.arch) !== facts.arch) {
    throw badFile(`${file.path} is damaged: its header says ${file.header.arch} and its facts ${facts.arch}`);
  }
  return facts;
}

/** Reads what was proved about leaks; null if nothing was. Throws `badFile` if it is damaged. */
export function leaksIn(file: Container): LeakProof | null {
  const entry = file.sections.find(({ name }) => name === LEAKS);
  return entry === undefined ? null : file.decode(entry, readLeaks);
}

/**
 * Reads what goroutines work on; null if the file does not say it. It may be much, and not all commands need it: it is decoded when it
 * is asked for. Both throw `badFile` if it is damaged.
 */
export function workIn(file: Container): () => StoredWork | null {
  const entry = file.sections.find(({ name }) => name === WORK);
  const decode = entry === undefined ? () => null : file.decodeLater(entry, readWork);
  let work: StoredWork | null | undefined;
  return () => (work === undefined ? (work = decode()) : work);
}

/** Makes a source of the memory in an open file. Throws `badFile` if the ranges in the index are impossible. */
export function sourceOf(file: Container): SnapshotSource {
  const memory = file.sections.filter(({ name }) => name === 'memory');
  try {
    return new SnapshotSource(memory, file);
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
    const { indexOffset } = file.trailer;
    throw badFile(`${file.path} is damaged in its index section at offset ${indexOffset}: ${error.message}`, {
      cause: error,
    });
  }
}

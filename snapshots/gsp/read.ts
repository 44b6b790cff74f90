import { badFile } from '../errors.js';
import type { ProcessImage } from '../image.js';
import { Memory } from '../memory.js';
import { BytesError } from '../bytes.js';
import { Container } from './container.js';
import { readArch, readFacts, type Facts } from './facts.js';
import type { Header } from './format.js';
import { SnapshotSource } from './source.js';

/** A .gsp file as an image. */
export interface Snapshot extends ProcessImage {
  readonly kind: 'snapshot';
  readonly header: Header;
  /**
   * Why memory that was asked for is absent although the file has a section for it, one sentence a section; it grows
   * while the snapshot is read. A damaged section never ends the run: reading its addresses throws MemoryFault.
   */
  readonly damage: readonly string[];
  /** Lets go of the file. Memory that was not read before is absent from then on. */
  close(): void;
}

/**
 * Opens a snapshot: header, facts and index are read and verified, memory when it is asked for. Throws `badFile` where
 * the file is missing, no snapshot, of a newer format, truncated, or damaged outside its memory.
 */
export function openSnapshot(path: string): Snapshot {
  const file = new Container(path);
  try {
    const facts = factsIn(file);
    const source = sourceOf(file);
    return {
      kind: 'snapshot',
      ...facts,
      memory: new Memory(source),
      header: file.header,
      get damage() {
        return source.damage;
      },
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The facts of an open file. Throws `badFile`. */
export function factsIn(file: Container): Facts {
  const entry = file.sections.find(({ name }) => name === 'facts');
  if (entry === undefined) throw badFile(`${file.path} is damaged: it has no facts section`);
  const facts = file.decode(entry, readFacts);
  if (readArch(file.header.arch) !== facts.arch) {
    throw badFile(`${file.path} is damaged: its header says ${file.header.arch} and its facts ${facts.arch}`);
  }
  return facts;
}

/** The memory of an open file. Throws `badFile` where the index names ranges that cannot be. */
export function sourceOf(file: Container): SnapshotSource {
  const memory = file.sections.filter(({ name }) => name === 'memory');
  try {
    return new SnapshotSource(memory, (entry) => file.read(entry));
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
    const { indexOffset } = file.trailer;
    throw badFile(`${file.path} is damaged in its index section at offset ${indexOffset}: ${error.message}`, {
      cause: error,
    });
  }
}

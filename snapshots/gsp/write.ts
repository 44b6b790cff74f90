import { createHash } from 'node:crypto';
import { ExitCode, GospyError } from '../errors.js';
import { AtomicFile } from '../atomic-file.js';
import { chunksOf, type MemoryGroup } from './chunks.js';
import { compress, IN_FLIGHT } from './compress.js';
import { packFacts, type Facts } from './facts.js';
import { LEAKS, packLeaks } from './leaks-section.js';
import type { ProcessImage } from '../image.js';
import { packWork, WORK } from './work-section.js';
import { ReadyChunk, type Chunk } from './ready-chunk.js';
import {
  FORMAT_VERSION,
  Limit,
  packHeader,
  packIndex,
  packSection,
  packTrailer,
  TRAILER_LENGTH,
  type Header,
  type SectionEntry,
} from './format.js';

/** The content of a snapshot that is to be written. */
export interface SnapshotContent {
  /** The image without its memory. */
  readonly image: Facts & Pick<ProcessImage, 'leaks' | 'work'>;
  /**
   * The memory in groups that are likely to be read together (the globals, the gs, the stacks, the function table): no
   * section of the file holds bytes of two groups. An address that occurred before is skipped. The bytes must not change
   * until the file is written.
   */
  readonly memory: Iterable<MemoryGroup>;
}

export interface WriteOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes the bytes of the snapshot, one piece after another, in place of a file. */
  readonly write?: ((bytes: Uint8Array) => Promise<void>) | undefined;
}

/**
 * Writes a snapshot, with mode 0600. An existing file is replaced in one step when the new one is complete. Throws
 * `badFile` if it cannot be written, and a GospyError with exit code 130 if `signal` is aborted. A failed write leaves
 * nothing behind. With `write`, no file is made; then it throws what `write` does, and `path` is but a name.
 */
export async function writeSnapshot(
  path: string,
  content: SnapshotContent,
  options: WriteOptions = {},
): Promise<{ bytesWritten: number }> {
  const { write } = options;
  const file = write === undefined ? await AtomicFile.create(path) : new HeldFile(write);
  try {
    await writeInto(file, content, () => {
      if (options.signal?.aborted === true) {
        throw new GospyError(ExitCode.interrupted, `interrupted while writing ${path}; nothing was left behind`);
      }
    });
    await file.commit();
    return { bytesWritten: file.size };
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** What a snapshot is written to. */
type SnapshotFile = Pick<AtomicFile, 'size' | 'write' | 'patch' | 'commit' | 'discard'>;

/** A file in memory, for what cannot be written at any place but its end: the header has the size of the whole. */
class HeldFile implements SnapshotFile {
  size = 0;
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #pieces: Uint8Array[] = [];

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  write(bytes: Uint8Array): Promise<void> {
    this.#pieces.push(bytes);
    this.size += bytes.length;
    return Promise.resolve();
  }

  /** Overwrites bytes of the first piece. */
  patch(bytes: Uint8Array, offset: number): Promise<void> {
    this.#pieces[0]?.set(bytes, offset);
    return Promise.resolve();
  }

  async commit(): Promise<void> {
    for (const piece of this.#pieces) await this.#write(piece);
  }

  discard(): Promise<void> {
    return Promise.resolve();
  }
}

async function writeInto(
  file: SnapshotFile,
  { image, memory }: SnapshotContent,
  checkAborted: () => void,
): Promise<void> {
  const header: Header = { version: FORMAT_VERSION, writer: image.capture.writer, arch: image.arch, sizeBytes: 0 };
  await file.write(packHeader(header));
  const sections: SectionEntry[] = [];

  const facts = packFacts(image);
  sections.push(await writeSection(file, 'facts', facts.length, await compress(facts), null));
  if (image.leaks !== undefined && image.leaks !== null) {
    const leaks = packLeaks(image.leaks);
    sections.push(await writeSection(file, LEAKS, leaks.length, await compress(leaks), null));
  }
  if (image.work !== undefined && image.work !== null) {
    const work = packWork(image.work);
    sections.push(await writeSection(file, WORK, work.length, await compress(work), null));
  }
  for await (const chunk of compressChunks(memory)) {
    checkAborted();
    sections.push(await writeSection(file, 'memory', chunk.rawBytes, chunk.data, chunk.ranges));
  }
  const index = packIndex(sections);
  const entry = await writeSection(file, 'index', index.length, await compress(index), null);

  const sizeBytes = file.size + TRAILER_LENGTH;
  const finalHeader = packHeader({ ...header, sizeBytes });
  await file.write(
    packTrailer({
      sizeBytes,
      headerSha256: sha256(finalHeader),
      indexOffset: entry.offset,
      indexLength: entry.length,
      indexSha256: entry.sha256,
    }),
  );
  await file.patch(finalHeader, 0);
  checkAborted();
}

async function writeSection(
  file: SnapshotFile,
  name: string,
  rawBytes: number,
  data: Buffer,
  ranges: Uint8Array | null,
): Promise<SectionEntry> {
  const section = packSection(name, rawBytes, data);
  const entry = { name, offset: file.size, length: section.length, rawBytes, sha256: sha256(section), ranges };
  await file.write(section);
  return entry;
}

interface CompressedChunk {
  readonly rawBytes: number;
  readonly data: Buffer;
  readonly ranges: Uint8Array;
}

/** Yields the chunks of the memory in order. Compresses a few at a time, and reuses the buffers of finished ones. */
async function* compressChunks(memory: SnapshotContent['memory']): AsyncGenerator<CompressedChunk> {
  const spare: Uint8Array[] = [];
  const own = new Set<ArrayBufferLike>();
  const take = (): Uint8Array => {
    const buffer = spare.pop() ?? new Uint8Array(Limit.chunk);
    own.add(buffer.buffer);
    return buffer;
  };
  const start = async (chunk: Chunk | ReadyChunk): Promise<CompressedChunk> => {
    const { ranges } = chunk;
    if (chunk instanceof ReadyChunk) {
      return { rawBytes: chunk.rawBytes, data: chunk.packed ?? (await compress(chunk.bytes())), ranges };
    }
    const { bytes } = chunk;
    const data = await compress(bytes);
    if (own.has(bytes.buffer)) spare.push(new Uint8Array(bytes.buffer));
    return { rawBytes: bytes.length, data, ranges };
  };
  const running: Promise<CompressedChunk>[] = [];
  try {
    for (const chunk of chunksOf(memory, take)) {
      running.push(start(chunk));
      if (running.length < IN_FLIGHT) continue;
      const first = running.shift();
      if (first !== undefined) yield await first;
    }
    for (let first = running.shift(); first !== undefined; first = running.shift()) yield await first;
  } finally {
    await Promise.allSettled(running);
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

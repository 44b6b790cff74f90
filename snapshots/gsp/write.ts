import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw } from 'node:zlib';
import { ExitCode, GospyError } from '../errors.js';
import type { Segment } from '../memory.js';
import { AtomicFile } from '../atomic-file.js';
import { chunksOf, type Chunk } from './chunks.js';
import { packFacts, type Facts } from './facts.js';
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
  readonly image: Facts;
  /**
   * The memory in groups that are likely to be read together (the globals, the gs, the stacks, the function table): no
   * section of the file holds bytes of two groups. An address that occurred before is skipped. The bytes must not change
   * until the file is written.
   */
  readonly memory: Iterable<readonly Segment[]>;
}

/**
 * Compression level of zlib, chosen by measurements on two cores. Function tables: levels 1 to 3 take the same time; 3
 * makes them 2 % smaller than 1, and 6 another 3 % in 1.7 times the time. Stacks and heap: 3 takes 1.5 times as long as 1
 * (350 MB/s) and makes them 8 % smaller; 6 takes 3.7 times as long as 3.
 */
const LEVEL = 3;

/** Number of sections that are compressed at the same time, in Node's thread pool. */
const IN_FLIGHT = 4;

const deflate = promisify<Uint8Array, { level: number; chunkSize: number; memLevel: number }, Buffer>(deflateRaw);

function compress(bytes: Uint8Array): Promise<Buffer> {
  // One output buffer that holds even incompressible bytes: another one would cost a round trip through the thread pool.
  return deflate(bytes, { level: LEVEL, memLevel: 9, chunkSize: Math.max(1024, bytes.length + 1024) });
}

/**
 * Writes a snapshot, with mode 0600. An existing file is replaced in one step when the new one is complete. Throws
 * `badFile` if it cannot be written, and a GospyError with exit code 130 if `signal` is aborted. A failed write leaves
 * nothing behind.
 */
export async function writeSnapshot(
  path: string,
  content: SnapshotContent,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<{ bytesWritten: number }> {
  const file = await AtomicFile.create(path);
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

async function writeInto(
  file: AtomicFile,
  { image, memory }: SnapshotContent,
  checkAborted: () => void,
): Promise<void> {
  const header: Header = { version: FORMAT_VERSION, writer: image.capture.writer, arch: image.arch, sizeBytes: 0 };
  await file.write(packHeader(header));
  const sections: SectionEntry[] = [];

  const facts = packFacts(image);
  sections.push(await writeSection(file, 'facts', facts.length, await compress(facts), null));
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
  file: AtomicFile,
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
  const start = async ({ bytes, ranges }: Chunk): Promise<CompressedChunk> => {
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

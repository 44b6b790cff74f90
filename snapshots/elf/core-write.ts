import type { Addr } from '../address.js';
import { ExitCode, GospyError } from '../errors.js';
import { AtomicFile } from '../atomic-file.js';
import type { Mapping, ProcessImage } from '../image.js';
import { buildCoreNotes } from './core-write-notes.js';
import { ELF_MACHINES, ELF_MAGIC, HEADER_BYTES, SEGMENT_BYTES, SegmentType } from './headers.js';

/** Memory is present or absent in units of this many bytes. */
const PAGE = 4096;
/** Bytes that are read and written at a time. */
const BLOCK = 2 ** 20;
/** Debuggers search all segments for each one that they add, and a file header cannot count more than 65,534. */
const MOST_SEGMENTS = 2 ** 14;

/** A PT_LOAD segment to be written: pages that are in the file, then addresses of the mapping that are not. */
interface OutputSegment {
  readonly mapping: Mapping;
  readonly start: number;
  /** End of the memory that is in the file; equal to `start` if there is none. */
  readonly fileEnd: number;
  /** Start of the next segment, or end of the mapping. */
  readonly end: number;
}

/**
 * Writes an image as an ELF core that debuggers can open together with the executable: a segment for each run of known
 * pages, the registers of all threads, the mapped files and the signal. A partly known page is filled up with zeros if
 * the process or its loader could write it; otherwise it is left out, since debuggers read it from the executable. Zeros become holes
 * in the file. The file is replaced in one step, with mode 0600. Throws `badFile` if it cannot be written, and a
 * GospyError with exit code 130 if `signal` is aborted.
 */
export async function writeCore(
  path: string,
  image: ProcessImage,
  options: { signal?: AbortSignal } = {},
): Promise<{ bytesWritten: number }> {
  const file = await AtomicFile.create(path);
  try {
    const segments = planSegments(image);
    const notes = buildCoreNotes(image);
    const notesOffset = HEADER_BYTES + SEGMENT_BYTES * (segments.length + 1);
    const memoryOffset = pageUp(notesOffset + notes.length);
    await file.write(buildHeaders(image, segments, { notesOffset, notesBytes: notes.length, memoryOffset }));
    await file.write(notes);
    file.hole(memoryOffset - file.size);
    for (const segment of segments) await writeSegment(file, image, segment, options.signal);
    await file.commit();
    return { bytesWritten: file.size };
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/**
 * Plans the segments of all mappings, joining neighbours over growing gaps until there are few enough, or until each
 * mapping has one piece of known memory.
 */
function planSegments(image: ProcessImage): OutputSegment[] {
  const largest = image.mappings.reduce((most, { start, end }) => Math.max(most, end - start), 0);
  for (let gap = 0; ; gap = Math.max(PAGE, 2 * gap)) {
    const segments = image.mappings.flatMap((mapping, i) => planSegmentsOf(image, mapping, image.mappings[i + 1], gap));
    if (segments.length <= Math.max(MOST_SEGMENTS, image.mappings.length) || gap > largest) return segments;
  }
}

/** What the loader has changed before it made it read-only (RELRO), which is not in the file: it lies before the data. */
function isRelro({ end, path, executable }: Mapping, next: Mapping | undefined): boolean {
  return !executable && next?.start === end && next.writable && next.path === path;
}

function planSegmentsOf(
  image: ProcessImage,
  mapping: Mapping,
  next: Mapping | undefined,
  gap: number,
): OutputSegment[] {
  const known: { lo: number; hi: number }[] = [];
  const isInExecutable = !mapping.writable && mapping.path.startsWith('/') && !isRelro(mapping, next);
  for (const { lo, hi } of image.memory.ranges(mapping.start, mapping.end)) {
    const last = known.at(-1);
    const [from, to] = isInExecutable ? [lo, hi] : [pageDown(lo), pageUp(hi)];
    if (last !== undefined && from - last.hi <= (isInExecutable ? 0 : gap)) last.hi = Math.max(last.hi, to);
    else known.push({ lo: from, hi: to });
  }
  const whole = known
    .map(({ lo, hi }) => {
      return isInExecutable ? { lo: pageUp(lo), hi: pageDown(hi) } : { lo, hi: Math.min(hi, pageUp(mapping.end)) };
    })
    .filter(({ lo, hi }) => lo < hi);
  const starts = [mapping.start, ...whole.map(({ lo }) => lo)];
  const ends = [...starts.slice(1), mapping.end];
  const fileEnds = [mapping.start, ...whole.map(({ hi }) => hi)];
  return starts
    .map((start, i) => ({
      mapping,
      start,
      fileEnd: fileEnds[i] ?? start,
      end: Math.max(ends[i] ?? start, fileEnds[i] ?? 0),
    }))
    .filter(({ start, end }) => start < end);
}

function pageDown(addr: number): number {
  return addr - (addr % PAGE);
}

function pageUp(addr: number): number {
  return Math.ceil(addr / PAGE) * PAGE;
}

/** Builds the file header and the program headers. */
function buildHeaders(
  image: ProcessImage,
  segments: readonly OutputSegment[],
  { notesOffset, notesBytes, memoryOffset }: { notesOffset: number; notesBytes: number; memoryOffset: number },
): Uint8Array {
  const bytes = new Uint8Array(notesOffset);
  const view = new DataView(bytes.buffer);
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  const ELF_CORE = 4;
  u32(0, ELF_MAGIC);
  // 64-bit, little-endian, version 1.
  bytes.set([2, 1, 1], 4);
  u16(16, ELF_CORE);
  u16(18, ELF_MACHINES[image.arch]);
  u32(20, 1);
  u64(32, HEADER_BYTES);
  u16(52, HEADER_BYTES);
  u16(54, SEGMENT_BYTES);
  u16(56, segments.length + 1);
  let at = HEADER_BYTES;
  /** `words` are p_offset, p_vaddr, p_paddr, p_filesz, p_memsz and p_align. */
  const addHeader = (type: number, flags: number, words: readonly number[]): void => {
    u32(at, type);
    u32(at + 4, flags);
    for (const [i, value] of words.entries()) u64(at + 8 + 8 * i, value);
    at += SEGMENT_BYTES;
  };
  addHeader(SegmentType.note, 0, [notesOffset, 0, 0, notesBytes, 0, 4]);
  let offset = memoryOffset;
  for (const { mapping, start, fileEnd, end } of segments) {
    const flags = (mapping.readable ? 4 : 0) + (mapping.writable ? 2 : 0) + (mapping.executable ? 1 : 0);
    addHeader(SegmentType.load, flags, [offset, start, 0, fileEnd - start, end - start, PAGE]);
    offset += fileEnd - start;
  }
  return bytes;
}

async function writeSegment(
  file: AtomicFile,
  image: ProcessImage,
  { start, fileEnd }: OutputSegment,
  signal?: AbortSignal,
): Promise<void> {
  for (let lo = start; lo < fileEnd; lo += BLOCK) {
    if (signal?.aborted === true) throw new GospyError(ExitCode.interrupted, 'interrupted; nothing was left behind');
    const bytes = new Uint8Array(Math.min(BLOCK, fileEnd - lo));
    for (const known of image.memory.ranges(lo as Addr, (lo + bytes.length) as Addr)) {
      bytes.set(image.memory.bytes(known.lo, known.hi - known.lo), known.lo - lo);
    }
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE);
      if (page.every((b) => b === 0)) file.hole(page.length);
      else await file.write(page);
    }
  }
}

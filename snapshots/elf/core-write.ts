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
  const { mappings } = image;
  const known = mappings.map((mapping, i) => new KnownPages(image, mapping, mappings[i + 1]));
  const largest = mappings.reduce((most, { start, end }) => Math.max(most, end - start), 0);
  const most = Math.max(MOST_SEGMENTS, mappings.length);
  for (let gap = PAGE; ; gap *= 2) {
    const runs = known.reduce((sum, { count }) => sum + count, 0);
    if (runs <= most || gap > 2 * largest) {
      const segments = known.flatMap((pages) => pages.segments());
      if (segments.length <= most || gap > 2 * largest) return segments;
    }
    for (const pages of known) pages.join(gap);
  }
}

/** What the loader has changed before it made it read-only (RELRO), which is not in the file: it lies before the data. */
function isRelro({ end, path, executable }: Mapping, next: Mapping | undefined): boolean {
  return !executable && next?.start === end && next.writable && next.path === path;
}

/** The memory of a mapping that goes into the file, as runs of pages. A process may have a million of them. */
class KnownPages {
  readonly #mapping: Mapping;
  readonly #isInExecutable: boolean;
  /** Start and end of each run, one run after another. */
  #runs: number[] = [];

  constructor({ memory }: ProcessImage, mapping: Mapping, next: Mapping | undefined) {
    this.#mapping = mapping;
    this.#isInExecutable = !mapping.writable && mapping.path.startsWith('/') && !isRelro(mapping, next);
    const [down, up] = this.#isInExecutable ? [same, same] : [pageDown, pageUp];
    for (const { lo, hi } of memory.ranges(mapping.start, mapping.end)) addRun(this.#runs, down(lo), up(hi), 0);
    if (!this.#isInExecutable) return;
    // A page that the image has in part is left out.
    const whole: number[] = [];
    forEachRun(this.#runs, (lo, hi) => {
      if (pageUp(lo) < pageDown(hi)) whole.push(pageUp(lo), pageDown(hi));
    });
    this.#runs = whole;
  }

  /** How many runs there are. */
  get count(): number {
    return this.#runs.length / 2;
  }

  /** Joins neighbours between which at most `gap` bytes are not known, unless debuggers find these in the executable. */
  join(gap: number): void {
    if (this.#isInExecutable) return;
    const joined: number[] = [];
    forEachRun(this.#runs, (lo, hi) => addRun(joined, lo, hi, gap));
    this.#runs = joined;
  }

  /** A segment for each run, and one before them for memory that is not known at the start of the mapping. */
  segments(): OutputSegment[] {
    const mapping = this.#mapping;
    const end = pageUp(mapping.end);
    const segments: OutputSegment[] = [];
    const [first = mapping.end] = this.#runs;
    if (mapping.start < first) segments.push({ mapping, start: mapping.start, fileEnd: mapping.start, end: first });
    forEachRun(this.#runs, (lo, hi, next = mapping.end) => {
      const fileEnd = Math.min(hi, end);
      segments.push({ mapping, start: lo, fileEnd, end: Math.max(next, fileEnd) });
    });
    return segments;
  }
}

/** Calls `use` with each run of a list, and the start of the next one. */
function forEachRun(runs: readonly number[], use: (lo: number, hi: number, next: number | undefined) => void): void {
  for (let i = 0; i < runs.length; i += 2) use(runs[i] ?? 0, runs[i + 1] ?? 0, runs[i + 2]);
}

/** Adds a run to a list, ascending, or makes the last one longer if at most `gap` bytes lie in between. */
function addRun(runs: number[], lo: number, hi: number, gap: number): void {
  const last = runs.length - 1;
  if (last > 0 && lo - (runs[last] ?? 0) <= gap) runs[last] = Math.max(runs[last] ?? 0, hi);
  else runs.push(lo, hi);
}

function same(addr: number): number {
  return addr;
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
  const block = new Uint8Array(Math.min(BLOCK, fileEnd - start));
  for (let lo = start; lo < fileEnd; lo += BLOCK) {
    if (signal?.aborted === true) throw new GospyError(ExitCode.interrupted, 'interrupted; nothing was left behind');
    const bytes = block.subarray(0, fileEnd - lo).fill(0);
    for (const known of image.memory.ranges(lo as Addr, (lo + bytes.length) as Addr)) {
      bytes.set(image.memory.bytes(known.lo, known.hi - known.lo), known.lo - lo);
    }
    await writeSparse(file, bytes);
  }
}

/** Writes whole pages; those that are zero become holes. */
async function writeSparse(file: AtomicFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const zero = isZero(bytes, at);
    let end = at + PAGE;
    while (end < bytes.length && isZero(bytes, end) === zero) end += PAGE;
    if (zero) file.hole(end - at);
    else await file.write(bytes.subarray(at, end));
    at = end;
  }
}

const ZERO_PAGE = Buffer.alloc(PAGE);

function isZero(bytes: Uint8Array, at: number): boolean {
  return ZERO_PAGE.equals(bytes.subarray(at, at + PAGE));
}

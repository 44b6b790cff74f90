import type { Addr } from '../address.js';
import { ExitCode, GospyError } from '../errors.js';
import { AtomicFile } from '../atomic-file.js';
import type { Mapping, ProcessImage } from '../image.js';
import { coreNotesOf } from './core-write-notes.js';

/** The unit in which memory is written, and is absent. */
const PAGE = 4096;
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
/** Memory that is read and written in one go. */
const BLOCK = 2 ** 20;
/** Debuggers look through all segments for each that they add; a file header counts no more than 65,534. */
const MOST_SEGMENTS = 2 ** 14;
const MACHINES = { amd64: 62, arm64: 183 } as const;

/** A run of pages of which something is known, and how far the mapping goes on without. */
interface Run {
  readonly mapping: Mapping;
  readonly start: number;
  /** End of what is in the file; `start` where nothing is. */
  readonly fileEnd: number;
  /** Where the next run begins, or the mapping ends. */
  readonly end: number;
}

/**
 * Writes an image as an ELF core, which debuggers open with the executable: a segment a run of known pages, registers of
 * all threads, mapped files, the signal. Pages that are partly known are filled up with zeros where the process could
 * write them, and left to the executable where it could not. Zeros are holes of the file. It is replaced in one step,
 * mode 0600; throws `badFile` where it cannot be written.
 */
export async function writeCore(
  path: string,
  image: ProcessImage,
  options: { signal?: AbortSignal } = {},
): Promise<{ bytesWritten: number }> {
  const file = await AtomicFile.create(path);
  try {
    const runs = runsOf(image);
    const notes = coreNotesOf(image);
    const notesOffset = HEADER_BYTES + SEGMENT_BYTES * (runs.length + 1);
    const memoryOffset = Math.ceil((notesOffset + notes.length) / PAGE) * PAGE;
    await file.write(headersOf(image, runs, { notesOffset, notesBytes: notes.length, memoryOffset }));
    await file.write(notes);
    file.hole(memoryOffset - file.size);
    for (const run of runs) await writeRun(file, image, run, options.signal);
    await file.commit();
    return { bytesWritten: file.size };
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** Runs of all mappings; neighbours are joined over growing gaps until there are few enough. */
function runsOf(image: ProcessImage): Run[] {
  for (let gap = 0; ; gap = Math.max(PAGE, 2 * gap)) {
    const runs = image.mappings.flatMap((mapping) => runsIn(image, mapping, gap));
    if (runs.length <= Math.max(MOST_SEGMENTS, image.mappings.length)) return runs;
  }
}

function runsIn(image: ProcessImage, mapping: Mapping, gap: number): Run[] {
  const known: { lo: number; hi: number }[] = [];
  const borrowed = !mapping.writable && mapping.path.startsWith('/');
  for (const { lo, hi } of image.memory.ranges(mapping.start, mapping.end)) {
    const last = known.at(-1);
    const [from, to] = borrowed ? [lo, hi] : [down(lo), up(hi)];
    if (last !== undefined && from - last.hi <= (borrowed ? 0 : gap)) last.hi = Math.max(last.hi, to);
    else known.push({ lo: from, hi: to });
  }
  const whole = known
    .map(({ lo, hi }) => (borrowed ? { lo: up(lo), hi: down(hi) } : { lo, hi: Math.min(hi, up(mapping.end)) }))
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

function down(addr: number): number {
  return addr - (addr % PAGE);
}

function up(addr: number): number {
  return Math.ceil(addr / PAGE) * PAGE;
}

function headersOf(
  image: ProcessImage,
  runs: readonly Run[],
  { notesOffset, notesBytes, memoryOffset }: { notesOffset: number; notesBytes: number; memoryOffset: number },
): Uint8Array {
  const bytes = new Uint8Array(notesOffset);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  const ELF_CORE = 4;
  u16(16, ELF_CORE);
  u16(18, MACHINES[image.arch]);
  u32(20, 1);
  u64(32, HEADER_BYTES);
  u16(52, HEADER_BYTES);
  u16(54, SEGMENT_BYTES);
  u16(56, runs.length + 1);
  let at = HEADER_BYTES;
  const segment = (type: number, flags: number, sizes: readonly number[]): void => {
    u32(at, type);
    u32(at + 4, flags);
    for (const [i, value] of sizes.entries()) u64(at + 8 + 8 * i, value);
    at += SEGMENT_BYTES;
  };
  segment(4, 0, [notesOffset, 0, 0, notesBytes, 0, 4]);
  let offset = memoryOffset;
  for (const { mapping, start, fileEnd, end } of runs) {
    const flags = (mapping.readable ? 4 : 0) + (mapping.writable ? 2 : 0) + (mapping.executable ? 1 : 0);
    segment(1, flags, [offset, start, 0, fileEnd - start, end - start, PAGE]);
    offset += fileEnd - start;
  }
  return bytes;
}

async function writeRun(file: AtomicFile, image: ProcessImage, run: Run, signal?: AbortSignal): Promise<void> {
  for (let lo = run.start; lo < run.fileEnd; lo += BLOCK) {
    if (signal?.aborted === true) throw new GospyError(ExitCode.interrupted, 'interrupted; nothing was left behind');
    const bytes = new Uint8Array(Math.min(BLOCK, run.fileEnd - lo));
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

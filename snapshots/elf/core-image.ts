import type { Addr } from '../address.js';
import { BytesError } from '../bytes.js';
import { describe } from '../detect.js';
import { badFile, GospyError } from '../errors.js';
import type { Executable, Mapping, ProcessImage, Thread } from '../image.js';
import { Memory, onFault } from '../memory.js';
import type { FileBytes } from '../regular-file.js';
import type { PackingProblem, Unpacked } from '../unpack.js';
import { coreMappings, namedAround } from './core-mappings.js';
import { Auxv, readCoreNotes, type CoreNotes } from './core-notes.js';
import { CoreSource } from './core-source.js';
import { ElfFile } from './elf-file.js';
import { HEADER_BYTES, SegmentType } from './headers.js';
import { NOTE_GNU_BUILD_ID } from './notes.js';

/** Memory that was in a core before its end was cut off. */
export interface CutMapping {
  readonly start: Addr;
  readonly end: Addr;
  /** The file that was mapped there, or the empty string. */
  readonly path: string;
}

/** An ELF core as an image. */
export interface Core extends ProcessImage {
  readonly kind: 'core';
  readonly path: string;
  readonly sizeBytes: number;
  /** Number of bytes that were cut off the end of the file. */
  readonly missingBytes: number;
  readonly cut: readonly CutMapping[];
  /** Bytes of the process's memory that are in the file. */
  readonly memoryBytes: number;
  readonly notes: CoreNotes;
  /** What is broken in the file, one sentence each. */
  readonly problems: readonly string[];
  /** Like {@link problems}, but only about memory that was read and is missing. Grows while the core is read. */
  readonly damage: readonly string[];
  /** Returns the build ids of the ELF file that was loaded at `base`: both null if the core lacks its first page. */
  buildIdsAt(base: number): BuildIds;
  /** Closes the file. Memory that was not read before is absent from then on. */
  close(): void;
}

/** The ids by which builds of a program differ, as far as they are known. */
type BuildIds = Pick<Executable, 'buildId' | 'goBuildId'>;

/** How many bytes of a loaded file are searched for headers and notes: those come first, and a core may have no more. */
const LOADED_HEAD_BYTES = 2 ** 16;
const LONGEST_PATH = 4096;
const PAGE = 4096;
/** Type and owner of the note. The lengths of owner and content come before them. */
const GNU_BUILD_ID_NOTE = Buffer.from([NOTE_GNU_BUILD_ID, 0, 0, 0, ...Buffer.from('GNU\0')]);
const GNU_OWNER_BYTES = 4;
const MOST_ID_BYTES = 64;

/**
 * Opens a core. Its headers and notes are read at once, memory when it is needed. `unpacked` is an unpacked copy of a
 * compressed core, whose descriptor is closed with the core. Throws
 * `badFile` if the file is missing, not a core, or its program headers are lost, and `unsupported` if it is 32-bit or
 * for another CPU.
 */
export function openCore(path: string, unpacked?: Unpacked): Core {
  const file = ElfFile.open(path, unpacked?.fd);
  try {
    if (file.header.type === 'core') return coreOf(file, unpacked?.problem ?? null);
    const { type } = file.header;
    throw badFile(`${path} is not a core: it is ${describe({ kind: 'elf', type, machine: 0 })}`);
  } catch (error) {
    file.close();
    throw error;
  }
}

function coreOf(file: ElfFile, packing: PackingProblem | null): Core {
  const { arch } = file.header;
  const notes = readCoreNotes(file.notes(), arch);
  const source = new CoreSource(file);
  const memory = new Memory(source);
  const { executable, mappings } = programOf(notes, memory, coreMappings(file.segments, notes.files));
  const unpackProblems = packing === null ? [] : [packing.message];
  const problems = [...unpackProblems, ...problemsOf(file), ...notes.problems];
  return {
    kind: 'core',
    path: file.path,
    sizeBytes: file.sizeBytes,
    missingBytes: file.missingBytes,
    cut: cutMappings(file, mappings),
    memoryBytes: file.loaded.reduce((sum, { lo, hi }) => sum + hi - lo, 0),
    notes,
    problems,
    arch,
    pid: notes.pid,
    threads: notes.threads.map((thread) => threadOf(thread, notes)),
    mappings,
    memory,
    executable,
    host: { hostname: '', kernel: '', bootId: null, cpus: 0, namespacePids: [notes.pid] },
    capture: {
      ...{ mode: 'core', capturedAt: null, monotonicNs: null, pauseNs: null },
      ...{
        partial: file.missingBytes > 0 || packing?.isTrusted === false,
        warnings: warningsOf(problems),
        torn: [],
        writer: null,
      },
    },
    structs: new Map(),
    signal: notes.signal,
    buildIdsAt: (base) => loadedBuildIds(memory, base),
    get damage() {
      // Where a stream is damaged, any byte may be wrong.
      if (packing?.isTrusted === false) return problems;
      return source.cutAndRead.length === 0 ? [] : [...unpackProblems, ...problemsOf(file)];
    },
    close: () => file.close(),
  };
}

function threadOf({ tid, registers }: CoreNotes['threads'][number], { pid, name }: CoreNotes): Thread {
  return { tid, namespaceTid: tid, name: tid === pid ? name : '', state: '?', registers };
}

function problemsOf(file: ElfFile): string[] {
  const { path, sizeBytes, missingBytes } = file;
  if (missingBytes === 0) return [];
  const due = sizeBytes + missingBytes;
  return [`${path} is truncated: it has ${sizeBytes} of ${due} bytes, ${missingBytes} are missing`];
}

function warningsOf(problems: readonly string[]): { code: string; message: string }[] {
  return problems.map((message) => ({ code: 'core-damaged', message }));
}

function cutMappings(file: ElfFile, mappings: readonly Mapping[]): CutMapping[] {
  return file.segments
    .filter(
      ({ type, fileOffset, fileSize }) =>
        type === SegmentType.load && fileSize > 0 && fileOffset + fileSize > file.sizeBytes,
    )
    .map(({ vaddr, fileOffset, fileSize }) => {
      const start = vaddr + Math.max(0, file.sizeBytes - fileOffset);
      const path = mappings.find((mapping) => vaddr >= mapping.start && vaddr < mapping.end)?.path ?? '';
      return { start: start as Addr, end: (vaddr + fileSize) as Addr, path };
    });
}

/**
 * Returns the executable, found through the auxiliary vector. If NT_FILE does not list it, its mappings get its path here.
 */
function programOf(
  notes: CoreNotes,
  memory: Memory,
  mappings: readonly Mapping[],
): { executable: Executable; mappings: readonly Mapping[] } {
  const { auxv, files, name } = notes;
  const inside = auxv.get(Auxv.phdr) ?? auxv.get(Auxv.entry) ?? 0;
  const mapped = files.find(({ start, end }) => inside >= start && inside < end);
  const path = mapped?.path ?? executedPath(auxv, memory) ?? name;
  const executable = {
    path,
    deleted: mapped?.deleted ?? false,
    // Linkers put the program headers right after the file header.
    ...(auxv.has(Auxv.phdr) ? loadedBuildIds(memory, inside - HEADER_BYTES) : NO_IDS),
    sizeBytes: null,
  };
  return { executable, mappings: mapped === undefined && path !== '' ? namedAround(mappings, inside, path) : mappings };
}

/** Returns the path that was passed to execve, which lies at the top of the stack, or null if it is absent. */
function executedPath(auxv: CoreNotes['auxv'], memory: Memory): string | null {
  const at = auxv.get(Auxv.execfn);
  if (at === undefined) return null;
  return onFault(
    () => memory.cstring(at as Addr, LONGEST_PATH),
    () => null,
  );
}

const NO_IDS: BuildIds = { buildId: null, goBuildId: null };

/** Reads the build ids of a file loaded at `base`. In its first pages, file offsets are distances from `base`. */
function loadedBuildIds(memory: Memory, base: number): BuildIds {
  const [known] = memory.ranges(base as Addr, (base + LOADED_HEAD_BYTES) as Addr);
  if (known?.lo !== base) return NO_IDS;
  const bytes = new LoadedBytes(memory, known.lo, known.hi - known.lo);
  try {
    const file = ElfFile.over(bytes);
    return { buildId: file.buildId ?? gnuBuildIdIn(bytes), goBuildId: file.goBuildId };
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return NO_IDS;
  }
}

/**
 * Searches the first page for a GNU build id. Go's linker lists only its own note in the program headers; the GNU note
 * follows it and is listed in the section headers, which are not in memory.
 */
function gnuBuildIdIn(bytes: LoadedBytes): string | null {
  const head = Buffer.from(bytes.read(0, Math.min(PAGE, bytes.sizeBytes)));
  const at = head.indexOf(GNU_BUILD_ID_NOTE);
  if (at < 8 || at + GNU_BUILD_ID_NOTE.length > head.length || head.readUInt32LE(at - 8) !== GNU_OWNER_BYTES)
    return null;
  const length = head.readUInt32LE(at - 4);
  const id = head.subarray(at + GNU_BUILD_ID_NOTE.length, at + GNU_BUILD_ID_NOTE.length + length);
  return length > 0 && length <= MOST_ID_BYTES && id.length === length ? id.toString('hex') : null;
}

/** A file that was loaded into a process, read from the process's memory. */
class LoadedBytes implements FileBytes {
  readonly path = 'a loaded file';
  readonly sizeBytes: number;
  readonly #memory: Memory;
  readonly #base: Addr;

  constructor(memory: Memory, base: Addr, sizeBytes: number) {
    this.#memory = memory;
    this.#base = base;
    this.sizeBytes = sizeBytes;
  }

  read(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes)) {
      throw new BytesError(`${length} bytes at ${offset} are not in the first page`);
    }
    return onFault(
      () => this.#memory.bytes((this.#base + offset) as Addr, length),
      ({ message }) => {
        throw new BytesError(message);
      },
    );
  }

  close(): void {
    return;
  }
}

import type { Addr } from '../address.js';
import { BytesError } from '../bytes.js';
import { describe } from '../detect.js';
import { badFile, GospyError } from '../errors.js';
import type { Executable, Mapping, ProcessImage, Thread } from '../image.js';
import { Memory, MemoryFault } from '../memory.js';
import type { FileBytes } from '../regular-file.js';
import { coreMappings, namedAround } from './core-mappings.js';
import { Auxv, readCoreNotes, type CoreNotes } from './core-notes.js';
import { CoreSource } from './core-source.js';
import { ElfFile } from './elf-file.js';
import { SegmentType } from './headers.js';
import { NOTE_GNU_BUILD_ID } from './notes.js';

/** Memory that a core was to hold, and that was cut off its end. */
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
  /** Bytes that were cut off the end of the file. */
  readonly missingBytes: number;
  readonly cut: readonly CutMapping[];
  /** Bytes of memory that the file has. */
  readonly memoryBytes: number;
  readonly notes: CoreNotes;
  /** What is broken in the file, one sentence each. */
  readonly problems: readonly string[];
  /** As {@link problems}, of what was asked for and is missing; it grows while the core is read. */
  readonly damage: readonly string[];
  /** Build ids of the ELF file that was loaded at an address; both null where the core lacks its first page. */
  buildIdsAt(base: number): BuildIds;
  /** Lets go of the file. Memory that was not read before is absent from then on. */
  close(): void;
}

/** What tells builds apart, as far as it is known. */
type BuildIds = Pick<Executable, 'buildId' | 'goBuildId'>;

/** How much of a loaded file is looked at for its headers and notes: they come first, and a core may have no more. */
const HEAD_BYTES = 2 ** 16;
/** e_phoff of what linkers make: the program headers follow the file header. */
const PROGRAM_HEADERS = 64;
const LONGEST_PATH = 4096;
const PAGE = 4096;
/** Type and owner of the note, behind the lengths of owner and content. */
const GNU_BUILD_ID_NOTE = Buffer.from([NOTE_GNU_BUILD_ID, 0, 0, 0, ...Buffer.from('GNU\0')]);
const GNU_OWNER_BYTES = 4;
const MOST_ID_BYTES = 64;

/**
 * Opens a core: headers and notes are read, memory when it is asked for. One that was unpacked comes as a descriptor,
 * which is closed with it, and with what was wrong with its packing. Throws `badFile` where the file is missing, no core, or has lost its program headers, `unsupported` where it is of 32 bits or
 * another CPU.
 */
export function openCore(path: string, unpacked?: { fd: number; problems: readonly string[] }): Core {
  const file = ElfFile.open(path, unpacked?.fd);
  try {
    if (file.header.type === 'core') return coreOf(file, unpacked?.problems ?? []);
    const { type } = file.header;
    throw badFile(`${path} is no core: it is ${describe({ kind: 'elf', type, machine: 0 })}`);
  } catch (error) {
    file.close();
    throw error;
  }
}

function coreOf(file: ElfFile, ofPacking: readonly string[]): Core {
  const { arch } = file.header;
  const notes = readCoreNotes(file.notes(), arch);
  const source = new CoreSource(file);
  const memory = new Memory(source);
  const { executable, mappings } = programOf(notes, memory, coreMappings(file.segments, notes.files));
  const problems = [...ofPacking, ...problemsOf(file), ...notes.problems];
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
      ...{ partial: file.missingBytes > 0, warnings: warningsOf(problems), torn: [], writer: null },
    },
    structs: new Map(),
    signal: notes.signal,
    buildIdsAt: (base) => loadedBuildIds(memory, base),
    get damage() {
      return source.cutAndAsked.length === 0 ? [] : problemsOf(file);
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

/** The main program, by the auxiliary vector; its mappings get its path where NT_FILE does not tell. */
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
    ...(auxv.has(Auxv.phdr) ? loadedBuildIds(memory, inside - PROGRAM_HEADERS) : NO_IDS),
    sizeBytes: null,
  };
  return { executable, mappings: mapped === undefined && path !== '' ? namedAround(mappings, inside, path) : mappings };
}

/** What execve was given; it lies at the top of the stack. */
function executedPath(auxv: CoreNotes['auxv'], memory: Memory): string | null {
  const at = auxv.get(Auxv.execfn);
  try {
    return at === undefined ? null : memory.cstring(at as Addr, LONGEST_PATH);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return null;
  }
}

const NO_IDS: BuildIds = { buildId: null, goBuildId: null };

/** In the first pages of a loaded file offsets are distances in memory. */
function loadedBuildIds(memory: Memory, base: number): BuildIds {
  const [known] = memory.ranges(base as Addr, (base + HEAD_BYTES) as Addr);
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

/** Go's linker names its own note in the program headers, and leaves the GNU one behind it to the sections. */
function gnuBuildIdIn(bytes: LoadedBytes): string | null {
  const head = Buffer.from(bytes.read(0, Math.min(PAGE, bytes.sizeBytes)));
  const at = head.indexOf(GNU_BUILD_ID_NOTE);
  if (at < 8 || at + GNU_BUILD_ID_NOTE.length > head.length || head.readUInt32LE(at - 8) !== GNU_OWNER_BYTES)
    return null;
  const length = head.readUInt32LE(at - 4);
  const id = head.subarray(at + GNU_BUILD_ID_NOTE.length, at + GNU_BUILD_ID_NOTE.length + length);
  return length > 0 && length <= MOST_ID_BYTES && id.length === length ? id.toString('hex') : null;
}

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
    try {
      return this.#memory.bytes((this.#base + offset) as Addr, length);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      throw new BytesError(error.message);
    }
  }

  close(): void {
    return;
  }
}

import type { Addr } from '../address.js';
import { describe } from '../detect.js';
import { badFile } from '../errors.js';
import type { Executable, Mapping, ProcessImage, Thread } from '../image.js';
import { Memory, onFault } from '../memory.js';
import type { PackingProblem, Unpacked } from '../unpack.js';
import { coreMappings, namedAround } from './core-mappings.js';
import { Auxv, readCoreNotes, type CoreNotes } from './core-notes.js';
import { CoreSource } from './core-source.js';
import { ElfFile } from './elf-file.js';
import { HEADER_BYTES, SegmentType } from './headers.js';
import { loadedBuildIds, NO_IDS, type BuildIds } from './loaded-build-ids.js';

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

const LONGEST_PATH = 4096;

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
      ...{ mode: 'core', capturedAt: null, monotonicNs: null, pauseNs: null, lateThreads: null, longestLateNs: null },
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

import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import { hasModuleData } from '../../analyze/match/mapped-file.js';
import type { LoadedFile } from '../../analyze/match/variable-names.js';
import { matchBinary } from '../../analyze/match/executable.js';
import { openPrograms, type Programs } from '../../analyze/program.js';
import type { Core } from '../../snapshots/elf/core-image.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../snapshots/elf/elf-source.js';
import { badFile, GospyError } from '../../snapshots/errors.js';
import {
  withParts,
  type Executable,
  type ImageWarning,
  type Mapping,
  type ProcessImage,
} from '../../snapshots/image.js';
import { LayeredSource, Memory } from '../../snapshots/memory.js';
import { describeMismatch, FileSearch, loadedExecutable, matchIfReadable, type FoundFile } from './file-search.js';
import type { FileOptions } from './target.js';

/** The Go programs in a core. */
export interface CorePrograms {
  readonly programs: Programs;
  /** Path of the executable that lends the core what it lacks; null where none was found. */
  readonly executable: string | null;
  /** The files that lend memory. */
  readonly files: readonly LoadedFile[];
  /** Closes the files that lend memory, and not the core. */
  readonly close: () => void;
}

/**
 * Opens the Go programs in a core. Read-only memory that the core lacks comes from the executable and the libraries, if
 * this machine has the very same ones. With `bin`, which may be one of these, no other such file is looked for. Throws
 * GospyError as openPrograms does, and `badFile` where `bin` is another program.
 */
export function openCorePrograms(core: Core, { bin, debugDir }: FileOptions): CorePrograms {
  const files: ElfFile[] = [];
  const close = (): void => files.forEach((file) => file.close());
  try {
    const search = new FileSearch(core, debugDir);
    const found =
      bin === undefined
        ? openFound(core, search, openLibraries(search, files), files)
        : openNamed(core, bin, search, files);
    return { ...found, close };
  } catch (error) {
    close();
    throw error;
  }
}

type Opened = Pick<CorePrograms, 'programs' | 'executable' | 'files'>;

/** Finds the libraries, beside those that are open already, and adds the files that it opens to `files`. */
function openLibraries(search: FileSearch, files: ElfFile[], open: readonly FoundFile[] = []): FoundFile[] {
  const found = search.libraries(open);
  files.push(...found.map(({ file }) => file));
  return [...open, ...found];
}

/**
 * Opens the programs with the first executable on this machine that fits, or without any. Adds the files that it opens to
 * `files`.
 */
function openFound(core: Core, search: FileSearch, libraries: readonly FoundFile[], files: ElfFile[]): Opened {
  let failure: unknown = null;
  for (const main of search.executables()) {
    files.push(main.file);
    try {
      const programs = openOver(core, main, libraries, search);
      const misfit = misfitOf(programs, main);
      if (misfit === null) return { programs, executable: main.file.path, files: [main, ...libraries] };
      search.reject(main, misfit);
    } catch (error) {
      if (main.proof === 'build id' || !(error instanceof GospyError)) throw error;
      failure ??= error;
      search.reject(main, 'no Go program can be read with it');
    }
  }
  try {
    return { programs: openOver(core, null, libraries, search), executable: null, files: libraries };
  } catch (error) {
    throw failure ?? error;
  }
}

/**
 * Opens the programs with the file that the user named: the executable, or a library. Another build of the same source as
 * one of these lends no memory: then the programs are opened in the core alone.
 */
function openNamed(core: Core, path: string, search: FileSearch, files: ElfFile[]): Opened {
  const file = ElfFile.open(path);
  files.push(file);
  const match = matchIfReadable(core, loadedExecutable(core), file);
  let reason: string | null;
  if (match.same) {
    const main = { file, ...match };
    search.warnOfAlterations(main);
    const libraries = openLibraries(search, files);
    const programs = openOver(core, main, libraries, search);
    reason = misfitOf(programs, main);
    if (reason === null) return { programs, executable: path, files: [main, ...libraries] };
  } else {
    const libraries = search.asLibraries(file);
    if (libraries.length > 0) return openFound(core, search, openLibraries(search, files, libraries), files);
    const programs = openWithOtherBuild(core, file);
    if (programs !== null) return { programs, executable: null, files: [] };
    ({ reason } = match);
  }
  throw badFile(describeMismatch(core, file, reason), {
    hint: 'name the executable that ran: another build has its data elsewhere',
  });
}

/** Returns the programs in the core alone if `file` is another build of one of them, else null. */
function openWithOtherBuild(core: Core, file: ElfFile): Programs | null {
  try {
    const programs = openPrograms(core, (names) => dwarfStructs(file, names));
    return programs.some((program) => matchBinary(program, file).same) ? programs : null;
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return null;
  }
}

/** Returns the core's image with the files' memory below the core's own. */
function layFilesUnder(
  core: Core,
  main: FoundFile | null,
  libraries: readonly FoundFile[],
  warnings: readonly ImageWarning[],
): ProcessImage {
  const { capture, executable } = core;
  const found = main === null ? libraries : [main, ...libraries];
  const sources = found.map(
    ({ file, bias, altered }) => new ElfSource(file, bias, { without: altered.map(({ segment }) => segment) }),
  );
  return withParts(core, {
    mappings: main === null ? core.mappings : addSegments(core.mappings, main, executable.path),
    memory: new Memory(new LayeredSource([core.memory.source, ...sources])),
    executable: main === null ? executable : completeExecutable(executable, main.file),
    capture: { ...capture, warnings: [...capture.warnings, ...warnings] },
  });
}

function completeExecutable(executable: Executable, file: ElfFile): Executable {
  return {
    path: executable.path === '' ? file.path : executable.path,
    deleted: executable.deleted,
    buildId: executable.buildId ?? file.buildId,
    goBuildId: executable.goBuildId ?? file.goBuildId,
    sizeBytes: file.sizeBytes,
  };
}

const PAGE = 4096;

/** Gives the mappings of the executable its path, and adds those of its read-only segments that the core does not list. */
function addSegments(mappings: readonly Mapping[], { file, bias }: FoundFile, path: string): Mapping[] {
  const name = path === '' ? file.path : path;
  const [first] = file.loaded;
  const end = file.segments.reduce((most, { vaddr, memSize }) => Math.max(most, vaddr + memSize), 0) + bias;
  // Segments begin and end within pages; mappings are whole pages.
  const isInside = (mapping: Mapping): boolean =>
    first !== undefined && mapping.start + PAGE > first.lo + bias && mapping.end <= end + PAGE;
  const out = mappings.map((mapping) =>
    mapping.path === '' && isInside(mapping) ? { ...mapping, path: name } : mapping,
  );
  for (const { lo, hi, fileOffset, segment } of file.loaded) {
    const range = { start: (lo + bias) as Mapping['start'], end: (hi + bias) as Mapping['end'] };
    const overlaps = mappings.some((mapping) => mapping.start < range.end && mapping.end > range.start);
    if (overlaps || segment.writable) continue;
    const { readable, writable, executable } = segment;
    out.push({ ...range, readable, writable, executable, fileOffset, path: name });
  }
  return out.sort((a, b) => a.start - b.start);
}

/** Opens the programs in the core with the files' memory below its own. */
function openOver(core: Core, main: FoundFile | null, libraries: readonly FoundFile[], search: FileSearch): Programs {
  const image = layFilesUnder(core, main, libraries, search.warnings);
  try {
    return openPrograms(image, (names) => (main === null ? new Map() : dwarfStructs(main.file, names)));
  } catch (error) {
    throw error instanceof GospyError ? explainFailure(error, core, main, search) : error;
  }
}

/**
 * Returns why an executable that no build id has proven is not the program after all, as a sentence about the file: its
 * moduledata is compared with that in the core. Null where it fits, or where all programs are in libraries; warns where
 * nothing could be compared before.
 */
function misfitOf(programs: Programs, { file, bias, proof }: FoundFile): string | null {
  const program = programs.find(({ runtime, image }) => runtime.file === image.executable.path);
  if (proof === 'build id' || program === undefined) return null;
  const [module] = program.code.modules;
  if (module === undefined || !hasModuleData(program.memory, module.module, file, bias)) {
    return 'it has other functions, or none where the core has them: it may be packed';
  }
  if (proof === null) {
    const message = `nothing in the core identifies the build: that ${file.path} is the program that ran is known only by where its functions and data lie`;
    program.warn({ code: 'executable-unproven', message });
  }
  return null;
}

/** Adds to `error` why no program can be read: the core is not whole, or a file is missing or another build. */
function explainFailure(error: GospyError, core: Core, main: FoundFile | null, search: FileSearch): GospyError {
  const [problem] = core.problems;
  if (problem !== undefined) {
    return badFile(`${problem}; in what is left, ${error.message}`, {
      cause: error,
      hint: 'copy the file again from where it was written, if that one is whole',
    });
  }
  const missing = search.describeMissing(main !== null);
  if (missing === null) return error;
  const hint =
    main === null
      ? 'name the executable that ran with --bin, or a folder of executables with --debug-dir'
      : 'put the file that the process had in its place, or in a folder that --debug-dir names';
  return badFile(`${error.message}; ${missing}`, { cause: error, hint });
}

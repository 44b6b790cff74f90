import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import { hasModuleData, matchMappedFile } from '../../analyze/match/mapped-file.js';
import { matchBinary } from '../../analyze/match/executable.js';
import { GoProgram, openProgram } from '../../analyze/program.js';
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
import { FileSearch, loadedExecutable, withBuildIds, type FoundFile } from './file-search.js';
import type { FileOptions } from './target.js';

/** The Go program in a core. */
export interface CoreProgram {
  readonly program: GoProgram;
  /** Path of the executable that lends the core what it lacks; null where none was found. */
  readonly executable: string | null;
  /** Closes the files that lend memory, and not the core. */
  readonly close: () => void;
}

/**
 * Opens the Go program in a core. Read-only memory that the core lacks comes from the executable and the libraries, if
 * this machine has the very same ones. With `bin`, no other executable is looked for. Throws GospyError as openProgram
 * does, and `badFile` where `bin` is another program.
 */
export function openCoreProgram(core: Core, { bin, debugDir }: FileOptions): CoreProgram {
  const files: ElfFile[] = [];
  const close = (): void => files.forEach((file) => file.close());
  try {
    const search = new FileSearch(core, debugDir);
    const main = bin === undefined ? search.executable() : openNamed(core, bin);
    if (main instanceof GoProgram) return { program: main, executable: null, close };
    const libraries = search.libraries();
    files.push(...[main, ...libraries].flatMap((found) => (found === null ? [] : [found.file])));
    const image = layFilesUnder(core, main, libraries, search.warnings);
    const program = openImage(image, core, main, search.warnings);
    return { program, executable: main?.file.path ?? null, close };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * Opens the executable that the user named. For another build of the same source, which cannot lend memory, returns the
 * program in the core alone.
 */
function openNamed(core: Core, path: string): FoundFile | GoProgram {
  const file = ElfFile.open(path);
  try {
    const match = matchMappedFile(core, loadedExecutable(core), file);
    if (match.same) return { file, ...match };
    const program = match.otherBuild ? openWithOtherBuild(core, file) : null;
    if (program !== null) {
      file.close();
      return program;
    }
    const reason = withBuildIds(match.reason, file, core.executable);
    throw badFile(`${path} is not the program of ${core.path}: ${reason}`, {
      hint: 'name the executable that ran: another build has its data elsewhere',
    });
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Returns the program in the core alone if `file` is another build of the same source, else null. */
function openWithOtherBuild(core: Core, file: ElfFile): GoProgram | null {
  try {
    const program = openProgram(core, (names) => dwarfStructs(file, names));
    return matchBinary(program, file).same ? program : null;
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
  const sources = found.map(({ file, bias }) => new ElfSource(file, bias));
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

/**
 * Opens the program. An executable that no build id has proven is compared with the moduledata in the core: `badFile`
 * where it differs.
 */
function openImage(
  image: ProcessImage,
  core: Core,
  main: FoundFile | null,
  mismatches: readonly ImageWarning[],
): GoProgram {
  let program: GoProgram;
  try {
    program = openProgram(image, (names) => (main === null ? new Map() : dwarfStructs(main.file, names)));
  } catch (error) {
    throw error instanceof GospyError ? explainFailure(error, core, main, mismatches) : error;
  }
  if (main === null || main.proof === 'build id') return program;
  const { path } = main.file;
  const [runtime] = program.code.modules;
  if (runtime === undefined || !hasModuleData(program.memory, runtime.module, main.file, main.bias)) {
    const reason = withBuildIds('it has other functions', main.file, core.executable);
    throw badFile(`${path} is not the program of ${core.path}: ${reason}`);
  }
  if (main.proof === null) {
    const message = `nothing in the core identifies the build: that ${path} is the program that ran is known only by where its functions and data lie`;
    program.warn({ code: 'executable-unproven', message });
  }
  return program;
}

/** Adds to `error` why no program can be read: the core is not whole, or its executable is missing or another build. */
function explainFailure(
  error: GospyError,
  core: Core,
  main: FoundFile | null,
  [mismatch]: readonly ImageWarning[],
): GospyError {
  const [problem] = core.problems;
  if (problem !== undefined) {
    return badFile(`${problem}; in what is left, ${error.message}`, {
      cause: error,
      hint: 'copy the file again from where it was written, if that one is whole',
    });
  }
  if (main !== null) return error;
  const { path } = core.executable;
  const why = mismatch?.message ?? `its executable${path === '' ? '' : ` ${path}`} was not found`;
  return badFile(`${error.message}; ${why}`, {
    cause: error,
    hint: 'name the executable that ran with --bin, or a folder of executables with --debug-dir',
  });
}

import { dirname, isAbsolute, join } from 'node:path';
import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import {
  hasModuleData,
  matchMappedFile,
  type MappedFileFacts,
  type MappedFileMatch,
} from '../../analyze/match/mapped-file.js';
import { matchBinary } from '../../analyze/match/executable.js';
import { GoProgram, openProgram } from '../../analyze/program.js';
import type { Core } from '../../snapshots/elf/core-image.js';
import { Auxv } from '../../snapshots/elf/core-notes.js';
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

/** Where files are looked for that a core was made from. */
export interface CoreFileOptions {
  /** The executable, or a build of the same source; then no other is looked for. */
  readonly bin?: string;
  /** Trees of executables and debug files by build id and by path, as /usr/lib/debug is one. */
  readonly debugDir?: readonly string[];
}

/** The program in a core, with the files that lend it what the core lacks. */
export interface CoreProgram {
  readonly program: GoProgram;
  /** The executable that was found, or null. */
  readonly executable: string | null;
  readonly close: () => void;
}

const SYSTEM_DEBUG_DIR = '/usr/lib/debug';

interface Found {
  readonly file: ElfFile;
  readonly bias: number;
  readonly proof: 'build id' | 'pages' | null;
}

/**
 * Finds the Go program in a core. Read-only memory that the core lacks comes from the executable and the libraries, as
 * far as they are on this machine and the very same. Throws GospyError as openProgram does, and `badFile` where `--bin`
 * names another program.
 */
export function openCoreProgram(core: Core, options: CoreFileOptions): CoreProgram {
  const files: ElfFile[] = [];
  const close = (): void => files.forEach((file) => file.close());
  try {
    const search = new FileSearch(core, options);
    const main = options.bin === undefined ? search.executable() : named(core, options.bin);
    if (main instanceof GoProgram) return { program: main, executable: null, close };
    const libraries = search.libraries();
    files.push(...[main, ...libraries].flatMap((found) => (found === null ? [] : [found.file])));
    const image = underlaid(core, main, libraries, search.warnings);
    const program = opened(image, core, main, search);
    return { program, executable: main?.file.path ?? null, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** What `--bin` names; the program itself for a build of the same source, which can lend nothing and need not. */
function named(core: Core, path: string): Found | GoProgram {
  const file = ElfFile.open(path);
  try {
    const match = matchMappedFile(core, mainFile(core), file);
    if (match.same) return { file, ...match };
    const program = match.otherBuild ? otherBuild(core, file) : null;
    if (program !== null) {
      file.close();
      return program;
    }
    throw badFile(`${path} is not the program of ${core.path}: ${told(match.reason, file, core.executable)}`, {
      hint: 'name the executable that ran: another build has its data elsewhere',
    });
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The program in the core alone, where the file is another build of the same source; else null. */
function otherBuild(core: Core, file: ElfFile): GoProgram | null {
  try {
    const program = openProgram(core, (names) => dwarfStructs(file, names));
    return matchBinary(program, file).same ? program : null;
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return null;
  }
}

function mainFile({ executable, notes }: Core): MappedFileFacts {
  const { buildId, goBuildId } = executable;
  return { entry: notes.auxv.get(Auxv.entry) ?? null, base: null, buildId, goBuildId };
}

/** `reason (build ids: ...)`. */
function told(reason: string, file: ElfFile, executable: Pick<Executable, 'buildId' | 'goBuildId'>): string {
  const ids = ({ buildId, goBuildId }: Pick<Executable, 'buildId' | 'goBuildId'>): string =>
    `Go ${goBuildId ?? 'none'} and GNU ${buildId ?? 'none'}`;
  return `${reason} (build ids: the file has ${ids(file)}, the core has ${ids(executable)})`;
}

/** Looks through this machine for the files of a core. */
class FileSearch {
  readonly warnings: ImageWarning[] = [];
  readonly #core: Core;
  readonly #debugDirs: readonly string[];

  constructor(core: Core, { debugDir }: CoreFileOptions) {
    this.#core = core;
    this.#debugDirs = [...(debugDir ?? []), SYSTEM_DEBUG_DIR];
  }

  /** The executable, at its path or by its build id; null where it is not here. */
  executable(): Found | null {
    const core = this.#core;
    const { path } = core.executable;
    if (path === '') return null;
    return this.#first(path, mainFile(core), (file, match) => {
      this.warnings.push({
        code: 'executable-mismatch',
        message: `${file.path} is not the program of the core: ${told(match.reason, file, core.executable)}`,
      });
    });
  }

  /** Libraries and plugins whose build ids the core has; what the core lacks of others stays absent. */
  libraries(): Found[] {
    const { notes, executable } = this.#core;
    const bases = new Map<string, number>();
    for (const { path, start, fileOffset } of notes.files) {
      if (fileOffset === 0 && path !== executable.path && !bases.has(path)) bases.set(path, start);
    }
    return [...bases].flatMap(([path, base]) => {
      const { buildId, goBuildId } = this.#core.buildIdsAt(base);
      if (buildId === null && goBuildId === null) return [];
      return this.#first(path, { entry: null, base, buildId, goBuildId }, () => undefined) ?? [];
    });
  }

  #first(
    path: string,
    loaded: MappedFileFacts,
    refused: (file: ElfFile, match: MappedFileMatch & { same: false }) => void,
  ): Found | null {
    for (const candidate of this.#candidates(path, loaded.buildId)) {
      const file = openIfThere(candidate);
      if (file === null) continue;
      const match = matchMappedFile(this.#core, loaded, file);
      if (match.same) return { file, ...match };
      refused(file, match);
      file.close();
    }
    return null;
  }

  *#candidates(path: string, buildId: string | null): Iterable<string> {
    if (isAbsolute(path)) yield path;
    else yield* [path, join(dirname(this.#core.path), path)];
    for (const folder of this.#debugDirs) {
      if (buildId !== null && buildId.length > 2) {
        const place = join(folder, '.build-id', buildId.slice(0, 2), buildId.slice(2));
        yield* [place, `${place}.debug`];
      }
      if (isAbsolute(path)) yield* [join(folder, path), join(folder, `${path}.debug`)];
    }
  }
}

/** null for what is not there, or cannot be read. */
function openIfThere(path: string): ElfFile | null {
  try {
    return ElfFile.open(path);
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return null;
  }
}

function underlaid(
  core: Core,
  main: Found | null,
  libraries: readonly Found[],
  warnings: readonly ImageWarning[],
): ProcessImage {
  const { capture, executable } = core;
  const found = main === null ? libraries : [main, ...libraries];
  const sources = found.map(({ file, bias }) => new ElfSource(file, bias));
  return withParts(core, {
    mappings: main === null ? core.mappings : withSegments(core.mappings, main, executable.path),
    memory: new Memory(new LayeredSource([core.memory.source, ...sources])),
    executable: main === null ? executable : withFile(executable, main.file),
    capture: { ...capture, warnings: [...capture.warnings, ...warnings] },
  });
}

function withFile(executable: Executable, file: ElfFile): Executable {
  return {
    path: executable.path === '' ? file.path : executable.path,
    deleted: executable.deleted,
    buildId: executable.buildId ?? file.buildId,
    goBuildId: executable.goBuildId ?? file.goBuildId,
    sizeBytes: file.sizeBytes,
  };
}

/** Mappings, where the executable lies, with its path; what the core itself does not know of is added. */
function withSegments(mappings: readonly Mapping[], { file, bias }: Found, path: string): Mapping[] {
  const name = path === '' ? file.path : path;
  const [first] = file.loaded;
  const last = file.segments.reduce((most, { vaddr, memSize }) => Math.max(most, vaddr + memSize), 0) + bias;
  const out = mappings.map((mapping) => {
    const inside = first !== undefined && mapping.start + 4096 > first.lo + bias && mapping.end <= last + 4096;
    return mapping.path === '' && inside ? { ...mapping, path: name } : mapping;
  });
  for (const { lo, hi, fileOffset, segment } of file.loaded) {
    const [start, end] = [lo + bias, hi + bias];
    const overlaps = mappings.some((mapping) => mapping.start < end && mapping.end > start);
    if (overlaps || segment.writable) continue;
    const { readable, writable, executable } = segment;
    const range = { start: start as Mapping['start'], end: end as Mapping['end'] };
    out.push({ ...range, readable, writable, executable, fileOffset, path: name });
  }
  return out.sort((a, b) => a.start - b.start);
}

/** Opens the program, and holds a file that nothing else has proven against the moduledata that the core has. */
function opened(image: ProcessImage, core: Core, main: Found | null, search: FileSearch): GoProgram {
  let program: GoProgram;
  try {
    program = openProgram(image, (names) => (main === null ? new Map() : dwarfStructs(main.file, names)));
  } catch (error) {
    throw error instanceof GospyError ? explained(error, core, main, search) : error;
  }
  if (main === null || main.proof === 'build id') return program;
  const { path } = main.file;
  const [runtime] = program.code.modules;
  if (runtime === undefined || !hasModuleData(program.memory, runtime.module, main.file, main.bias)) {
    throw badFile(
      `${path} is not the program of ${core.path}: ${told('its functions are others', main.file, core.executable)}`,
    );
  }
  if (main.proof === null) {
    const message = `the core has nothing that tells builds apart: that ${path} is the program that ran is known only by where its functions and data lie`;
    program.warn({ code: 'executable-unproven', message });
  }
  return program;
}

/** Why no program can be read: the core is not whole, or its executable is missing; says which, and what stood in its place. */
function explained(error: GospyError, core: Core, main: Found | null, { warnings }: FileSearch): GospyError {
  const [problem] = core.problems;
  if (problem !== undefined) {
    return badFile(`${problem}; in what is left, ${error.message}`, {
      cause: error,
      hint: 'copy the file again from where it was written, if that one is whole',
    });
  }
  if (main !== null) return error;
  const { path } = core.executable;
  const [mismatch] = warnings;
  const why = mismatch?.message ?? `its executable${path === '' ? '' : ` ${path}`} was not found`;
  return badFile(`${error.message}; ${why}`, {
    cause: error,
    hint: 'name the executable that ran with --bin, or a folder of executables with --debug-dir',
  });
}

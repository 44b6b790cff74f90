import { dirname, isAbsolute, join } from 'node:path';
import { matchMappedFile, type MappedFileFacts, type MappedFileMatch } from '../../analyze/match/mapped-file.js';
import type { Core } from '../../snapshots/elf/core-image.js';
import { Auxv } from '../../snapshots/elf/core-notes.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { GospyError } from '../../snapshots/errors.js';
import type { Executable, ImageWarning } from '../../snapshots/image.js';
import { describeBuildIds } from './binary.js';

/** A file that the process of a core had loaded. */
export interface FoundFile {
  readonly file: ElfFile;
  /** Address in the process minus address in the file, in bytes. */
  readonly bias: number;
  /** What proves that it is the same file; null where the core has nothing to compare. */
  readonly proof: 'build id' | 'pages' | null;
}

const SYSTEM_DEBUG_DIR = '/usr/lib/debug';

/** Searches this machine for the executable and the libraries that a core was made from. */
export class FileSearch {
  /** About files that stand at the right place and are another build. */
  readonly warnings: ImageWarning[] = [];
  readonly #core: Core;
  readonly #debugDirs: readonly string[];

  constructor(core: Core, debugDirs: readonly string[] = []) {
    this.#core = core;
    this.#debugDirs = [...debugDirs, SYSTEM_DEBUG_DIR];
  }

  /** Returns the executable, found by its path or its build id; null where it is not on this machine. */
  executable(): FoundFile | null {
    const core = this.#core;
    const { path } = core.executable;
    if (path === '') return null;
    return this.#firstMatch(path, loadedExecutable(core), (file, { reason }) => {
      this.warnings.push({
        code: 'executable-mismatch',
        message: `${file.path} is not the program of the core: ${withBuildIds(reason, file, core.executable)}`,
      });
    });
  }

  /** Returns the libraries and plugins of which the core has a build id; memory that it lacks of others stays absent. */
  libraries(): FoundFile[] {
    const { notes, executable } = this.#core;
    const bases = new Map<string, number>();
    for (const { path, start, fileOffset } of notes.files) {
      if (fileOffset === 0 && path !== executable.path && !bases.has(path)) bases.set(path, start);
    }
    return [...bases].flatMap(([path, base]) => {
      const { buildId, goBuildId } = this.#core.buildIdsAt(base);
      if (buildId === null && goBuildId === null) return [];
      return this.#firstMatch(path, { entry: null, base, buildId, goBuildId }, () => undefined) ?? [];
    });
  }

  #firstMatch(
    path: string,
    loaded: MappedFileFacts,
    onMismatch: (file: ElfFile, match: MappedFileMatch & { same: false }) => void,
  ): FoundFile | null {
    for (const candidate of this.#candidates(path, loaded.buildId)) {
      const file = openIfReadable(candidate);
      if (file === null) continue;
      const match = matchMappedFile(this.#core, loaded, file);
      if (match.same) return { file, ...match };
      onMismatch(file, match);
      file.close();
    }
    return null;
  }

  /** Where a file may lie: at its path, beside the core, and in the debug folders by build id and by path. */
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

/** What a core knows of its executable. */
export function loadedExecutable({ executable, notes }: Core): MappedFileFacts {
  const { buildId, goBuildId } = executable;
  return { entry: notes.auxv.get(Auxv.entry) ?? null, base: null, buildId, goBuildId };
}

/** `reason (build ids: ...)`. */
export function withBuildIds(reason: string, file: ElfFile, executable: Executable): string {
  const [ours, theirs] = [describeBuildIds(file), describeBuildIds(executable)];
  return `${reason} (build ids: the file has ${ours}, the core has ${theirs})`;
}

/** Returns null for a file that does not exist, cannot be read, or is not an ELF file. */
function openIfReadable(path: string): ElfFile | null {
  try {
    return ElfFile.open(path);
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return null;
  }
}

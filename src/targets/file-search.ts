import { statSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import {
  matchMappedFile,
  type Alteration,
  type MappedFileFacts,
  type MappedFileMatch,
} from '../../analyze/match/mapped-file.js';
import { compareBuildIds } from '../../analyze/match/quick-checks.js';
import { hex } from '../../snapshots/address.js';
import { BytesError } from '../../snapshots/bytes.js';
import type { Core } from '../../snapshots/elf/core-image.js';
import { Auxv } from '../../snapshots/elf/core-notes.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { badFile, GospyError } from '../../snapshots/errors.js';
import { fileError, systemCode } from '../../snapshots/file-errors.js';
import type { ImageWarning } from '../../snapshots/image.js';
import { describeBuildIds } from './binary.js';

/** A file that the process of a core had loaded. */
export interface FoundFile {
  readonly file: ElfFile;
  /** Address in the process minus address in the file, in bytes. */
  readonly bias: number;
  /** What proves that it is the same file; null where the core has nothing to compare. */
  readonly proof: 'build id' | 'pages' | null;
  /** Segments that are not what the process had. They lend nothing. */
  readonly altered: readonly Alteration[];
}

/** A library or plugin that the process of a core had loaded, and of which the core has a build id. */
type LoadedLibrary = MappedFileFacts & { readonly path: string };

const SYSTEM_DEBUG_DIR = '/usr/lib/debug';
/** Libraries that one message names. */
const NAMED = 3;

/**
 * Searches this machine for the executable and the libraries that a core was made from. A file at the right place that does
 * not fit, or cannot be read, lends the core nothing.
 */
export class FileSearch {
  readonly #core: Core;
  readonly #debugDirs: readonly string[];
  readonly #warnings: ImageWarning[] = [];
  /** About libraries with Go in them, a sentence each: those of which another file is here, and those that are not here. */
  readonly #otherLibraries: string[] = [];
  readonly #absentLibraries: string[] = [];

  constructor(core: Core, debugDirs: readonly string[] = []) {
    this.#core = core;
    this.#debugDirs = [...debugDirs, SYSTEM_DEBUG_DIR];
  }

  /** About files that lend nothing, or not all of what is in them. Nothing needs a library without Go. */
  get warnings(): ImageWarning[] {
    if (this.#otherLibraries.length === 0) return this.#warnings;
    return [...this.#warnings, { code: 'library-mismatch', message: firstOf(this.#otherLibraries) }];
  }

  /** What is not here as it was, as a part of a sentence; null where all is here that the program may need. */
  describeMissing(executableFound: boolean): string | null {
    const { path } = this.#core.executable;
    const mismatch = this.#warnings.find(({ code }) => code === 'executable-mismatch');
    const executable = mismatch?.message ?? `its executable${path === '' ? '' : ` ${path}`} was not found`;
    const libraries = [...this.#otherLibraries, ...this.#absentLibraries];
    const parts = [...(executableFound ? [] : [executable]), ...(libraries.length > 0 ? [firstOf(libraries)] : [])];
    return parts.length === 0 ? null : parts.join('; ');
  }

  /** Opens files that may be the executable, one after the other, by its path and its build id. The caller closes them. */
  *executables(): Iterable<FoundFile> {
    const core = this.#core;
    const { path } = core.executable;
    if (path === '') return;
    yield* this.#matches(path, loadedExecutable(core), (reason, file) => {
      const message = file === null ? reason : describeMismatch(core, file, reason);
      this.#warnings.push({ code: 'executable-mismatch', message });
    });
  }

  /** Records that a file of {@link executables} turned out to be another program. */
  reject({ file }: FoundFile, reason: string): void {
    this.#warnings.push({ code: 'executable-mismatch', message: describeMismatch(this.#core, file, reason) });
  }

  /**
   * Opens the libraries and plugins of which the core has a build id; memory that it lacks of others stays absent. Those
   * that are `known` are not looked for.
   */
  libraries(known: readonly FoundFile[]): FoundFile[] {
    return this.#loadedLibraries().flatMap((loaded) =>
      known.some(({ file }) => compareBuildIds(loaded, file) === 'same') ? [] : (this.#openLibrary(loaded) ?? []),
    );
  }

  /** Returns a file as the libraries that it is, by its build id: a program may have loaded copies of one file. */
  asLibraries(file: ElfFile): FoundFile[] {
    return this.#loadedLibraries().flatMap((loaded) => {
      if (compareBuildIds(loaded, file) !== 'same') return [];
      const match = matchIfReadable(this.#core, loaded, file);
      if (!match.same) return [];
      this.warnOfAlterations({ file, ...match });
      return [{ file, ...match }];
    });
  }

  #openLibrary({ path, ...loaded }: LoadedLibrary): FoundFile | null {
    const rejected: string[] = [];
    const reject = (reason: string, file: ElfFile | null): number =>
      rejected.push(file === null ? reason : `${file.path} is not the library of the core: ${reason}`);
    for (const found of this.#matches(path, loaded, reject)) return found;
    const [finding] = rejected;
    if (loaded.goBuildId === null) return null;
    if (finding !== undefined) this.#otherLibraries.push(finding);
    else this.#absentLibraries.push(`its library ${path} was not found`);
    return null;
  }

  #loadedLibraries(): LoadedLibrary[] {
    const { notes, executable } = this.#core;
    const bases = new Map<string, number>();
    for (const { path, start, fileOffset } of notes.files) {
      if (fileOffset === 0 && path !== executable.path && !bases.has(path)) bases.set(path, start);
    }
    return [...bases].flatMap(([path, base]) => {
      const { buildId, goBuildId } = this.#core.buildIdsAt(base);
      return buildId === null && goBuildId === null ? [] : [{ path, entry: null, base, buildId, goBuildId }];
    });
  }

  /** Opens the files that match, one after the other. Tells `reject` of each other file that is there. */
  *#matches(
    path: string,
    loaded: MappedFileFacts,
    reject: (reason: string, file: ElfFile | null) => void,
  ): Iterable<FoundFile> {
    for (const candidate of this.#candidates(path, loaded.buildId)) {
      const file = openIfThere(candidate, (reason) => {
        // A name without a folder is a guess: anything may bear it.
        if (isAbsolute(path)) reject(reason, null);
      });
      if (file === null) continue;
      const match = matchIfReadable(this.#core, loaded, file);
      if (match.same) {
        this.warnOfAlterations({ file, ...match });
        yield { file, ...match };
      } else {
        reject(match.reason, file);
        file.close();
      }
    }
  }

  /** Warns of segments in which a file has other bytes than the core. */
  warnOfAlterations({ file, altered }: FoundFile): void {
    for (const { addr } of altered) {
      const message =
        `${file.path} has the right build id, but not the bytes that the core has at ${hex(addr)}: ` +
        'the file or the process was patched, and that segment of the file lends nothing';
      this.#warnings.push({ code: 'file-altered', message });
    }
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

/** `/x is not ...: reason (build ids: ...)`. */
export function describeMismatch(core: Core, file: ElfFile, reason: string): string {
  const [ours, theirs] = [describeBuildIds(file), describeBuildIds(core.executable)];
  return `${file.path} is not the program of ${core.path}: ${reason} (build ids: the file has ${ours}, the core has ${theirs})`;
}

/** As matchMappedFile, but a file that cannot be read does not match. */
export function matchIfReadable(core: Core, loaded: MappedFileFacts, file: ElfFile): MappedFileMatch {
  try {
    return matchMappedFile(core, loaded, file);
  } catch (error) {
    if (!(error instanceof BytesError || error instanceof GospyError)) throw error;
    return { same: false, reason: `it cannot be read: ${error.message}` };
  }
}

/** The first few sentences, and how many more there are. */
function firstOf(sentences: readonly string[]): string {
  const more = sentences.length > NAMED ? [`and ${sentences.length - NAMED} more libraries`] : [];
  return [...sentences.slice(0, NAMED), ...more].join('; ');
}

/** Returns null where there is nothing at `path`, or nothing that can be read as an ELF file, of which it tells `reject`. */
function openIfThere(path: string, reject: (what: string) => void): ElfFile | null {
  try {
    // Devices are not even opened: a path from a core may name any, and opening one may do something.
    if (!statSync(path).isFile()) throw badFile(`${path} is not a regular file`);
    return ElfFile.open(path);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    const { message } = error instanceof GospyError ? error : fileError(`cannot open ${path}`, error);
    reject(`${message}, and lends the core nothing`);
    return null;
  }
}

import { basename } from 'node:path';
import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import { matchBinary, type BinaryMatch } from '../../analyze/match/executable.js';
import { compareBuildIds } from '../../analyze/match/quick-checks.js';
import { openPrograms, type GoProgram, type Programs } from '../../analyze/program.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../snapshots/elf/elf-source.js';
import { badFile, shortened, type GospyError } from '../../snapshots/errors.js';
import { withParts, type Executable, type StructLayout } from '../../snapshots/image.js';
import { LayeredSource, Memory } from '../../snapshots/memory.js';

/** Characters of a build id that a message shows; Go's have about 80. */
const MOST_ID = 128;

type BuildIds = Pick<Executable, 'buildId' | 'goBuildId'>;

/**
 * The file that `--bin` names: the executable of the target, a library of it that holds a Go program, or another build of
 * the same source as one of these.
 */
export class Binary {
  readonly #file: ElfFile;

  /** Throws GospyError: 5 where the file cannot be read or is not an ELF file, 6 where its CPU is not supported. */
  constructor(path: string) {
    this.#file = ElfFile.open(path);
  }

  /**
   * Returns the programs with the file's read-only memory below their own. Only the very same file lends memory: another
   * build has its constant data elsewhere, and for it `programs` is returned, as for an executable that holds none of
   * them. Throws as {@link assertMatches} does.
   */
  lendTo(programs: Programs): Programs {
    const matches = this.#match(programs).filter(({ identical }) => identical);
    if (matches.length === 0) return programs;
    const [{ image }] = programs;
    const lent = matches.map(({ bias }) => new ElfSource(this.#file, bias));
    const source = new LayeredSource([image.memory.source, ...lent]);
    // Opened again: what the code tables lacked before may be in the file.
    return openPrograms(withParts(image, { memory: new Memory(source) }), this.debugInfo);
  }

  /** Returns struct layouts by type name, from the debug information of the file. */
  readonly debugInfo = (names: ReadonlySet<string>): ReadonlyMap<string, StructLayout> =>
    dwarfStructs(this.#file, names);

  /** Throws `badFile` where the file has other code than any of the programs, and is not the executable either. */
  assertMatches(programs: Programs): void {
    this.#match(programs);
  }

  /** Closes the file. Memory of it that was not read by then is absent. */
  close(): void {
    this.#file.close();
  }

  /** The programs whose code the file has; none where it is the executable, and the programs are in libraries. */
  #match(programs: Programs): (BinaryMatch & { same: true })[] {
    const matches = programs.map((program) => ({ program, match: matchBinary(program, this.#file) }));
    const same = matches.flatMap(({ match }) => (match.same ? [match] : []));
    const [{ image }] = programs;
    if (same.length > 0 || compareBuildIds(image.executable, this.#file) === 'same') return same;
    const { path } = this.#file;
    const nearest = matches.find(({ program }) => basename(program.runtime.file) === basename(path)) ?? matches[0];
    throw notTheProgram(this.#file, programs, nearest);
  }
}

function notTheProgram(
  file: ElfFile,
  programs: Programs,
  nearest: { readonly program: GoProgram; readonly match: BinaryMatch } | undefined,
): GospyError {
  const { path } = file;
  const { runtime } = nearest?.program ?? programs[0];
  const reason = nearest?.match.same === false ? nearest.match.reason : 'it has other code';
  const ids = `${path} has ${describeBuildIds(file)}, ${runtime.file} had ${describeBuildIds(runtime)}`;
  const names = programs.map((program) => program.runtime.file);
  const which = programs.length === 1 ? 'the program' : `one of the programs (${names.join(', ')})`;
  return badFile(`${path} is not ${which} of the target: ${reason} (build ids: ${ids})`, {
    hint: `name ${names.join(' or ')}, or a build of the same source by the same Go release that differs in its symbols only`,
  });
}

/** `Go abc/def and GNU 0123`. */
export function describeBuildIds({ buildId, goBuildId }: BuildIds): string {
  const shown = (id: string | null): string => (id === null ? 'none' : shortened(id, MOST_ID));
  return `Go ${shown(goBuildId)} and GNU ${shown(buildId)}`;
}

import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import { matchBinary, type BinaryMatch } from '../../analyze/match/executable.js';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../snapshots/elf/elf-source.js';
import { badFile, shortened } from '../../snapshots/errors.js';
import { withParts, type Executable, type StructLayout } from '../../snapshots/image.js';
import { LayeredSource, Memory } from '../../snapshots/memory.js';

/** Characters of a build id that a message shows; Go's have about 80. */
const MOST_ID = 128;

type BuildIds = Pick<Executable, 'buildId' | 'goBuildId'>;

/** The file that `--bin` names: the executable of the target, or another build of the same source. */
export class Binary {
  readonly #file: ElfFile;

  /** Throws GospyError: 5 where the file cannot be read or is not an ELF file, 6 where its CPU is not supported. */
  constructor(path: string) {
    this.#file = ElfFile.open(path);
  }

  /**
   * Returns the program with the file's read-only memory below its own. Only the very same executable lends memory:
   * another build has its constant data elsewhere, and for it `program` is returned. Throws `badFile` where the file has
   * other code than the program.
   */
  lendTo(program: GoProgram): GoProgram {
    const { bias, identical } = this.#match(program);
    if (!identical) return program;
    const { image } = program;
    const source = new LayeredSource([image.memory.source, new ElfSource(this.#file, bias)]);
    // Opened again: what the code tables lacked before may be in the file.
    return openProgram(withParts(image, { memory: new Memory(source) }), this.debugInfo);
  }

  /** Returns struct layouts by type name, from the debug information of the file. */
  readonly debugInfo = (names: ReadonlySet<string>): ReadonlyMap<string, StructLayout> =>
    dwarfStructs(this.#file, names);

  /** Throws `badFile` where the file has other code than the program. */
  assertMatches(program: GoProgram): void {
    this.#match(program);
  }

  /** Closes the file. Memory of it that was not read by then is absent. */
  close(): void {
    this.#file.close();
  }

  #match(program: GoProgram): BinaryMatch & { same: true } {
    const match = matchBinary(program, this.#file);
    if (match.same) return match;
    const { path } = this.#file;
    const { executable } = program.image;
    const ids = `${path} has ${describeBuildIds(this.#file)}, ${executable.path} had ${describeBuildIds(executable)}`;
    throw badFile(`${path} is not the program of the target: ${match.reason} (build ids: ${ids})`, {
      hint: 'name its executable, or a build of the same source by the same Go release that differs in its symbols only',
    });
  }
}

/** `Go abc/def and GNU 0123`. */
export function describeBuildIds({ buildId, goBuildId }: BuildIds): string {
  const shown = (id: string | null): string => (id === null ? 'none' : shortened(id, MOST_ID));
  return `Go ${shown(goBuildId)} and GNU ${shown(buildId)}`;
}

import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import { matchBinary } from '../../analyze/match/executable.js';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../snapshots/elf/elf-source.js';
import { badFile } from '../../snapshots/errors.js';
import { withParts, type Executable, type ProcessImage, type StructLayout } from '../../snapshots/image.js';
import { LayeredSource, Memory } from '../../snapshots/memory.js';

/** The file that `--bin` names: the executable of the target, or a build of the same source with more in it. */
export class Binary {
  readonly #file: ElfFile;

  /** Throws GospyError: 5 where the file cannot be read or is no ELF file, 6 where it is for a CPU that is not known. */
  constructor(path: string) {
    this.#file = ElfFile.open(path);
  }

  /**
   * The program, with the file for what its image lacks: of the very same program all that it cannot write; of another
   * build nothing, since constant data lies elsewhere there. Throws `badFile` where the file has other code.
   */
  under(program: GoProgram): GoProgram {
    const { bias, identical } = this.#match(program);
    if (!identical) return program;
    return openProgram(underlaid(program.image, new ElfSource(this.#file, bias)), this.debugInfo);
  }

  /** Struct types by name, from its debug information. */
  readonly debugInfo = (names: ReadonlySet<string>): ReadonlyMap<string, StructLayout> =>
    dwarfStructs(this.#file, names);

  /** Throws `badFile` where the file has other code than the program. */
  check(program: GoProgram): void {
    this.#match(program);
  }

  /** Lets go of the file. Memory that was not read from it before is absent from then on. */
  close(): void {
    this.#file.close();
  }

  #match(program: GoProgram): { bias: number; identical: boolean } {
    const match = matchBinary(program, this.#file);
    if (match.same) return match;
    const { path } = this.#file;
    const { executable } = program.image;
    const ids = `${path} has ${buildIds(this.#file)}, ${executable.path} had ${buildIds(executable)}`;
    throw badFile(`${path} is not the program of the target: ${match.reason} (build ids: ${ids})`, {
      hint: 'name its executable, or a build of the same source by the same Go release that differs in its symbols only',
    });
  }
}

function buildIds({ buildId, goBuildId }: Pick<Executable, 'buildId' | 'goBuildId'>): string {
  return `Go ${goBuildId ?? 'none'} and GNU ${buildId ?? 'none'}`;
}

function underlaid(image: ProcessImage, lower: ElfSource): ProcessImage {
  return withParts(image, { memory: new Memory(new LayeredSource([image.memory.source, lower])) });
}

import type { CaptureFacts, ProcessImage } from '../../snapshots/image.js';
import { LayeredSource, Memory } from '../../snapshots/memory.js';
import { Runs } from '../../snapshots/runs.js';
import type { GoProgram } from '../../analyze/program.js';
import { runtimeRanges } from '../../analyze/runtime/memory-ranges.js';
import { readFreeze } from '../process/frozen.js';
import type { LiveProcess } from '../process/live-process.js';
import type { RunReader } from '../process/run-reader.js';
import { UNSTOPPED } from './capture-metadata.js';
import { frozenWarning } from './frozen-copy.js';
import { lookAgain } from './look-again.js';
import { copyMachines } from './machine-list.js';
import { isOutgrown, MAX_GAP } from './plan.js';
import { RunSource } from './run-source.js';
import { SampledProgram } from './sampled-program.js';

/**
 * Looks at a Go program of a running process again and again without stopping it. What does not change is found once: the code, the
 * globals, and where the goroutines are. A look reads the records of the runtime. Stacks are read when they are asked for,
 * and are used only if their goroutine stayed parked meanwhile.
 */
export class Sampler {
  readonly #target: LiveProcess;
  readonly #program: GoProgram;
  #records: { readonly runs: Runs; readonly reader: RunReader; readonly count: number } | null = null;

  constructor(target: LiveProcess, program: GoProgram) {
    this.#target = target;
    this.#program = program;
  }

  /** The program as it is now. This ends the use of what an earlier look returned. Throws `noGoProcess` if it has ended. */
  look(): GoProgram {
    const { pid, arch } = this.#target;
    const { capture: first } = this.#program.image;
    try {
      const freeze = readFreeze(pid, arch);
      const warnings = freeze === null ? first.warnings : [...first.warnings, frozenWarning(freeze)];
      const capture: CaptureFacts = { ...first, ...this.#target.clocks(), ...UNSTOPPED, warnings };
      return lookAgain(() => {
        const mappings = this.#target.currentMappings();
        return this.#read({ ...this.#program.image, threads: this.#target.threads(), mappings, capture });
      });
    } catch (error) {
      this.#target.assertUnchanged(error);
      throw error;
    }
  }

  #read(image: ProcessImage): GoProgram {
    const planned = this.#records;
    if (planned !== null) {
      const failed = planned.reader.read();
      if (failed.length > 0) this.#target.assertUnchanged(undefined);
      const program = this.#over(image, new RunSource(planned.runs, planned.reader.bytes, failed));
      const { length } = program.goroutineReader.addresses(program.globals.allgs);
      if (!isOutgrown(length - planned.count, planned.count)) return program;
    }
    this.#plan(image);
    return this.#read(image);
  }

  /** Finds where the records are. The runtime uses the gs of ended goroutines again, so few become new. */
  #plan(image: ProcessImage): void {
    this.#records = null;
    const program = this.#program.over({ ...image, memory: this.#target.memory() });
    const goroutines = program.goroutineReader.addresses(program.globals.allgs);
    const runs = new Runs(runtimeRanges(program, goroutines), MAX_GAP);
    this.#records = { runs, reader: this.#target.reader(runs), count: goroutines.length };
  }

  /**
   * Planned records come from their buffer, and the Ms from a walk along their list; everything else is read from the
   * process when it is asked for.
   */
  #over(image: ProcessImage, records: RunSource): GoProgram {
    const machines = copyMachines(this.#program, this.#target).source;
    const memory = new Memory(new LayeredSource([machines, records, this.#target.memory().source]));
    return new SampledProgram(this.#program, { ...image, memory }, this.#target);
  }
}

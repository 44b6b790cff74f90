import type { GoProgram, Programs } from '../../analyze/program.js';
import { keepUnmoved, storedWork, surveyWork, type SurveyedWork } from '../../analyze/work/survey.js';
import type { Memory } from '../../snapshots/memory.js';
import type { StoredWork, ValueLevel } from '../../snapshots/work.js';

/**
 * What goroutines work on, found out from the values of a program: while it runs, just before the copy is made, or in a process
 * that stands still. Nothing of it is read in the stop, and what is kept are texts, not memory.
 */
export class WorkSurvey {
  readonly #level: ValueLevel;
  /** By program. */
  #surveyed: SurveyedWork[][] = [];
  #isFrozen = false;

  constructor(level: ValueLevel) {
    this.#level = level;
  }

  /** Looks at a process that runs. `memory` gives its memory as it is from then on. */
  lookAt(programs: Programs, memory: () => Memory): void {
    if (this.#level === 'none') return;
    this.#isFrozen = false;
    this.#surveyed = programs.map((program) => surveyWork(over(program, memory()), over(program, memory())));
  }

  /** Looks at a process that stands still until it was copied. */
  lookAtFrozen(programs: readonly GoProgram[]): void {
    if (this.#level === 'none') return;
    this.#isFrozen = true;
    this.#surveyed = programs.map((program) => surveyWork(program, null));
  }

  /** What holds of the copies of the programs. */
  resultFor(programs: Programs): StoredWork {
    const kept = programs.flatMap((program, i) => {
      const surveyed = this.#surveyed[i] ?? [];
      return this.#isFrozen ? surveyed : keepUnmoved(program, surveyed);
    });
    return storedWork(this.#level, kept);
  }
}

function over(program: GoProgram, memory: Memory): GoProgram {
  return program.over({ memory });
}

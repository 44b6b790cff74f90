import type { GoProgram, Programs } from '../../analyze/program.js';
import { keepUnmoved, storedWork, surveyRunning, surveyWork, type SurveyedWork } from '../../analyze/work/survey.js';
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
  #survey: (program: GoProgram) => SurveyedWork[] = () => [];

  constructor(level: ValueLevel) {
    this.#level = level;
  }

  /** Looks at a process that runs. `memory` gives its memory as it is from then on. */
  lookAt(programs: Programs, memory: () => Memory): void {
    if (this.#level === 'none') return;
    this.#isFrozen = false;
    this.#survey = (program) => surveyRunning(() => program.over({ memory: memory() }));
    this.#surveyed = programs.map(this.#survey);
  }

  /** Looks at a process that stands still until it was copied. */
  lookAtFrozen(programs: readonly GoProgram[]): void {
    if (this.#level === 'none') return;
    this.#isFrozen = true;
    this.#surveyed = programs.map(surveyWork);
  }

  /** What holds of the copies of the programs. */
  resultFor(programs: Programs): StoredWork {
    const kept = programs.flatMap((program, i) => {
      const surveyed = this.#surveyed[i] ?? [];
      return this.#isFrozen ? surveyed : keepUnmoved(program, surveyed, () => this.#survey(program));
    });
    return storedWork(this.#level, kept);
  }
}

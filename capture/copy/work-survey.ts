import type { GoProgram, Programs } from '../../analyze/program.js';
import { countsRuns } from '../../analyze/runtime/parked.js';
import {
  keepUnmoved,
  keepUnmovedSince,
  storedWork,
  surveyRunning,
  surveyWork,
  type RunningSurvey,
  type SurveyedWork,
} from '../../analyze/work/survey.js';
import type { Memory } from '../../snapshots/memory.js';
import type { DecoderSpec, StoredWork, ValueLevel } from '../../snapshots/work.js';

/**
 * What goroutines work on, found out from the values of a program: while it runs, just before the copy is made and, of those that
 * moved since, right after it; or in a process that stands still. Nothing of it is read in the stop, and what is kept are texts,
 * not memory.
 */
export class WorkSurvey {
  readonly #level: ValueLevel;
  readonly #decoders: readonly DecoderSpec[];
  /** By program. */
  #before: readonly RunningSurvey[] = [];
  #after: readonly RunningSurvey[] = [];
  #frozen: readonly (readonly SurveyedWork[])[] | null = null;

  constructor(level: ValueLevel, decoders: readonly DecoderSpec[]) {
    this.#level = level;
    this.#decoders = decoders;
  }

  /** Looks at a process that runs, and is copied next. `memory` gives its memory as it is from then on. */
  lookBefore(programs: Programs, memory: () => Memory): void {
    this.#frozen = null;
    this.#after = [];
    this.#before = this.#level === 'none' ? [] : programs.map((program) => surveyRunning(this.#over(program, memory)));
  }

  /** Looks again, right after the copy was made. */
  lookAfter(programs: Programs, memory: () => Memory): void {
    this.#after = this.#before.flatMap(({ whereabouts }, i) => {
      const program = programs[i];
      if (program === undefined) return [];
      // Where nothing tells whether a goroutine ran, all are looked at again.
      return [surveyRunning(this.#over(program, memory), { known: countsRuns(program.layouts) ? whereabouts : null })];
    });
  }

  /** Looks at a process that stands still until it was copied. */
  lookAtFrozen(programs: readonly GoProgram[]): void {
    if (this.#level !== 'none') this.#frozen = programs.map((program) => surveyWork(program, this.#decoders));
  }

  /** What holds of the copies of the programs. */
  resultFor(programs: Programs): StoredWork {
    return storedWork(
      this.#level,
      programs.flatMap((program, i) => this.#frozen?.[i] ?? this.#keptOf(program, i)),
    );
  }

  #keptOf(program: GoProgram, i: number): SurveyedWork[] {
    const [before, after] = [this.#before[i]?.work ?? [], this.#after[i]?.work ?? []];
    const kept = keepUnmoved(program, before, after);
    return countsRuns(program.layouts) ? [...keepUnmovedSince(program, after), ...kept] : kept;
  }

  #over(program: GoProgram, memory: () => Memory): () => GoProgram {
    return () => program.over({ memory: memory(), decoders: this.#decoders });
  }
}

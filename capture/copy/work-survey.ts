import type { GoProgram, Programs } from '../../analyze/program.js';
import {
  keepOf,
  storedWork,
  surveyMoved,
  surveyRunning,
  surveyWork,
  type RunningProgram,
  type Surveyed,
  type SurveyedWork,
} from '../../analyze/work/survey.js';
import type { Whereabouts } from '../../analyze/runtime/whereabouts.js';
import type { DecodedWork } from '../../analyze/work/work-reader.js';
import type { Copies } from './copies.js';
import type { LastCopy } from './copied-goroutines.js';
import type { CopySource } from './late-reads.js';
import { WORK_KINDS, type DecoderSpec, type StoredWork, type ValueLevel } from '../../snapshots/work.js';

/**
 * What goroutines work on, found out from the values of a program: while it runs, just before the copy is made and, of those that
 * moved since, right after it; or in a process that stands still. Nothing of it is read in the stop, and what is kept are texts,
 * not memory.
 */
export class WorkSurvey {
  readonly #level: ValueLevel;
  readonly #decoders: readonly DecoderSpec[];
  /** By program. */
  #before: readonly (readonly SurveyedWork[])[] = [];
  #whereabouts: readonly (Whereabouts | null)[] = [];
  #after: readonly (readonly SurveyedWork[])[] = [];
  #frozen: readonly (readonly Surveyed<DecodedWork>[])[] | null = null;

  constructor(level: ValueLevel, decoders: readonly DecoderSpec[]) {
    this.#level = level;
    this.#decoders = decoders;
  }

  /** Looks at a process that runs, and is copied next. */
  lookBefore(copies: Copies, target: CopySource): void {
    this.#frozen = null;
    this.#after = [];
    if (this.#level === 'none') return;
    const running = this.#running(copies, target);
    this.#whereabouts = running.map(({ lastRead }) => lastRead.whereabouts);
    this.#before = running.map((program) => surveyRunning(program));
  }

  /** Looks again, right after the copy was made, at those that moved since. */
  lookAfter(copies: Copies, target: CopySource): void {
    if (this.#level === 'none') return;
    this.#after = this.#running(copies, target).map((running, i) => {
      const { program, whereabouts: is, born } = running.lastRead;
      const was = this.#whereabouts[i] ?? null;
      if (was === null || is === null) return surveyMoved(running);
      return surveyMoved(running, program.goroutinesAt([...was.movedIn(is), ...born]));
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

  /** What both looks tell; of one kind, what the later one says. */
  #keptOf(program: GoProgram, i: number): SurveyedWork[] {
    const kept = new Map(keepOf(program, this.#after[i] ?? []).map((one) => [one.g.addr, one]));
    for (const { g, work } of keepOf(program, this.#before[i] ?? [])) {
      const later = kept.get(g.addr)?.work ?? [];
      const others = work.filter(({ kind }) => !later.some((one) => one.kind === kind));
      kept.set(g.addr, { g, work: [...later, ...others].sort((a, b) => orderOf(a) - orderOf(b)) });
    }
    return [...kept.values()];
  }

  #running(copies: Copies, target: CopySource): (RunningProgram & { readonly lastRead: LastCopy })[] {
    return copies.lastRead(target).map((lastRead) => ({
      now: () => lastRead.program.over({ memory: target.memory(), decoders: this.#decoders }),
      lastRead,
    }));
  }
}

/** Where a kind comes among all: those of the user first. */
function orderOf({ kind }: { readonly kind: string }): number {
  return WORK_KINDS.findIndex((known) => known === kind);
}

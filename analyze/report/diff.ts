import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import { countsRuns } from '../runtime/parked.js';
import type { Warning } from '../warnings.js';
import { answer, type Answer } from './answer.js';
import { compareGoroutines, type Changes, type GoroutineChanges } from './diff-changes.js';
import { compareSchedulers, type SchedulerDiff } from './diff-scheduler.js';
import { GOROUTINE_READS } from './goroutines.js';
import type { GroupBy } from './groups.js';
import { STACK_READS } from './locations.js';
import type { Runtime, Target } from './model.js';
import { relationOf, type Relation } from './relation.js';
import { runtimeOf, targetOf } from './summary.js';

/** A program compared with itself. */
export const diffAnalysis: Analysis = {
  name: 'diff',
  reads: [...GOROUTINE_READS, STACK_READS],
  answer: (program) => compare(program, program, { kind: 'start' }),
};

/** A runtime in both captures. */
export interface RuntimeDiff extends Omit<Runtime, 'goroutines'> {
  readonly goroutines: Diff['goroutines'];
  /** The lengths of the lists of {@link Changes}; those of ids name the goroutines of one runtime after another. */
  readonly changes: Readonly<Record<keyof Changes, number>> | null;
}

/** What changed between two captures. */
export interface Diff extends SchedulerDiff, GoroutineChanges {
  readonly before: Target;
  readonly after: Target;
  readonly relation: Relation;
  readonly runtimes: readonly RuntimeDiff[];
}

/** Compares two captures of one program, or two programs. Groups goroutines by `by`. */
export function compare(before: GoProgram, after: GoProgram, by: GroupBy): Answer<Diff> {
  const relation = relationOf(before, after);
  const { value, warnings } = compareRuntimes({ before, after }, by, relation.kind === 'same-process');
  const { runtime, ...changes } = value;
  const [was, is] = [targetOf(before), targetOf(after)];
  return { value: { before: was, after: is, relation, runtimes: [runtime], ...changes }, warnings };
}

/** A runtime in both captures; one of them is null where a library was not loaded yet, or is not any more. */
export type Pair =
  | { readonly before: GoProgram; readonly after: GoProgram | null }
  | { readonly before: null; readonly after: GoProgram };

function newest(pair: Pair): GoProgram {
  return pair.before === null ? pair.after : (pair.after ?? pair.before);
}

/** What changed in one runtime. */
export interface RuntimeChanges extends SchedulerDiff, GoroutineChanges {
  readonly runtime: RuntimeDiff;
}

/** Compares one runtime. `n` is its number, if not the one in the later capture. */
export function compareRuntimes(
  pair: Pair,
  by: GroupBy,
  sameProcess: boolean,
  n = newest(pair).runtime.n,
): Answer<RuntimeChanges> {
  const { before, after } = pair;
  const compared = compareGoroutines(before, after, { by, sameProcess, runtime: n });
  const { goroutines, changes } = compared;
  const value = {
    runtime: { ...runtimeOf(newest(pair), 0), n, goroutines, changes: changes === null ? null : countsOf(changes) },
    ...compared,
    ...compareSchedulers(before, after, sameProcess, n),
  };
  const warnings = [...warningsOf(before, 'before'), ...warningsOf(after, 'after'), ...uncertainties(before, changes)];
  return { value, warnings };
}

function countsOf({ started, ended, moved, returned, parked }: Changes): Readonly<Record<keyof Changes, number>> {
  return {
    ...{ started: started.length, ended: ended.length, moved: moved.length },
    ...{ returned: returned.length, parked: parked.length },
  };
}

function warningsOf(program: GoProgram | null, which: 'before' | 'after'): Warning[] {
  if (program === null) return [];
  return answer(program, null).warnings.map((warning) => ({ ...warning, message: `${which}: ${warning.message}` }));
}

/** Says where goroutines that ran in between may be listed as parked. */
function uncertainties(program: GoProgram | null, changes: Changes | null): Warning[] {
  if (program === null || changes === null || countsRuns(program.layouts)) return [];
  const message =
    'before Go 1.17 the runtime does not count how often a goroutine ran: one that is back where it was counts as parked';
  return [{ code: 'parked-by-place', message }];
}

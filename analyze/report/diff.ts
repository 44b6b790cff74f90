import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { G, GoroutineStatus } from '../runtime/goroutine.js';
import { countsRuns, hasRun, isSamePlace, isUncounted } from '../runtime/parked.js';
import type { Warning } from '../warnings.js';
import { answer, type Answer } from './answer.js';
import { compareSchedulers, type SchedulerDiff } from './diff-scheduler.js';
import { Describer, GOROUTINE_READS } from './goroutines.js';
import { nameKey, type GroupBy } from './groups.js';
import { STACK_READS } from './locations.js';
import type { Goroutine, Loc, Runtime, Target } from './model.js';
import { relationOf, type Relation } from './relation.js';
import { runtimeOf, targetOf } from './summary.js';

/** A program compared with itself. */
export const diffAnalysis: Analysis = {
  name: 'diff',
  reads: [...GOROUTINE_READS, STACK_READS],
  answer: (program) => compare(program, program, { kind: 'start' }),
};

/** What a goroutine was doing, and where. */
export interface GoroutineState {
  readonly status: GoroutineStatus;
  readonly waitReason: string | null;
  /** The innermost frame outside the runtime, else the innermost of all; null where it is not known. */
  readonly at: Loc | null;
}

/** A goroutine that only one of the two captures has. */
export interface ListedGoroutine extends GoroutineState {
  readonly goid: number;
  readonly runtime: number;
  readonly entry: Loc | null;
  readonly creator: Loc | null;
}

/** A goroutine that is in another place, or does something else. */
export interface Moved {
  readonly goid: number;
  readonly runtime: number;
  readonly entry: Loc | null;
  readonly before: GoroutineState;
  readonly after: GoroutineState;
}

export interface GroupDiff {
  readonly key: string;
  readonly runtime: number;
  readonly before: number;
  readonly after: number;
  readonly growth: number;
  /** null between two processes. */
  readonly started: number | null;
  readonly ended: number | null;
}

/** What became of the goroutines of one process. Each list is in the order of their ids. */
export interface Changes {
  readonly started: readonly ListedGoroutine[];
  readonly ended: readonly ListedGoroutine[];
  readonly moved: readonly Moved[];
  /** Ids of goroutines that ran and are back where they were. */
  readonly returned: readonly number[];
  /** Ids of goroutines that did not run in between. */
  readonly parked: readonly number[];
}

/** A runtime in both captures. */
export interface RuntimeDiff extends Omit<Runtime, 'goroutines'> {
  readonly goroutines: Diff['goroutines'];
  /** The lengths of the lists of {@link Changes}; those of ids name the goroutines of one runtime after another. */
  readonly changes: Readonly<Record<keyof Changes, number>> | null;
}

/** What changed between two captures. */
export interface Diff extends SchedulerDiff {
  readonly before: Target;
  readonly after: Target;
  readonly relation: Relation;
  readonly runtimes: readonly RuntimeDiff[];
  readonly goroutines: { readonly before: number; readonly after: number };
  /** null between two processes, whose goroutine ids cannot be compared. */
  readonly changes: Changes | null;
  /** Groups by function names, which mean the same in every build; the one that grew most comes first. */
  readonly groups: readonly GroupDiff[];
}

/** Goroutines of each list that get the innermost frame outside the runtime; the others get the innermost of all. */
const MAX_LOCATED = 10_000;

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
export interface RuntimeChanges extends SchedulerDiff, Pick<Diff, 'goroutines' | 'changes' | 'groups'> {
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
  const sides = [new Side(before, by, n), new Side(after, by, n)] as const;
  const changes = sameProcess ? changesBetween(...sides) : null;
  const goroutines = { before: sides[0].all.size, after: sides[1].all.size };
  const value = {
    runtime: { ...runtimeOf(newest(pair), 0), n, goroutines, changes: changes === null ? null : countsOf(changes) },
    ...{ goroutines, changes },
    groups: groupsOf(...sides, changes),
    ...compareSchedulers(before, after, sameProcess, n),
  };
  const warnings = [...warningsOf(before, 'before'), ...warningsOf(after, 'after'), ...uncertainties(before, changes)];
  return { value, warnings };
}

interface Described {
  readonly g: G;
  readonly goroutine: Goroutine;
  /** Of its group. */
  readonly key: string;
}

function countsOf({ started, ended, moved, returned, parked }: Changes): Readonly<Record<keyof Changes, number>> {
  return {
    ...{ started: started.length, ended: ended.length, moved: moved.length },
    ...{ returned: returned.length, parked: parked.length },
  };
}

/** All goroutines of a runtime in one of the two captures; none where `program` is null. */
class Side {
  readonly program: GoProgram | null;
  readonly runtime: number;
  /** By id, ascending. */
  readonly all = new Map<number, Described>();
  readonly #describer: Describer | null;

  constructor(program: GoProgram | null, by: GroupBy, runtime: number) {
    this.program = program;
    this.runtime = runtime;
    this.#describer = program === null ? null : new Describer(program);
    if (program === null || this.#describer === null) return;
    const keyOf = nameKey(program, by);
    for (const g of program.goroutines()) {
      const goroutine = this.#describer.describe(g);
      this.all.set(g.goid, { g, goroutine, key: keyOf(g, goroutine) });
    }
  }

  stateOf({ g, goroutine }: Described, located: boolean): GoroutineState {
    const { status, waitReason, current } = goroutine;
    return { status, waitReason, at: (located ? this.#describer?.user(g) : null) ?? current };
  }

  list(described: Described, located: boolean): ListedGoroutine {
    const { goid, entry, creator } = described.goroutine;
    return { goid, runtime: this.runtime, entry, creator, ...this.stateOf(described, located) };
  }
}

function changesBetween(before: Side, after: Side): Changes {
  const started: ListedGoroutine[] = [];
  const ended: ListedGoroutine[] = [];
  const moved: Moved[] = [];
  const returned: number[] = [];
  const parked: number[] = [];
  for (const [goid, was] of before.all) {
    const is = after.all.get(goid);
    if (is === undefined) {
      ended.push(before.list(was, ended.length < MAX_LOCATED));
    } else if (!isSamePlace(was.g, is.g)) {
      const located = moved.length < MAX_LOCATED;
      const { entry } = is.goroutine;
      const { runtime } = after;
      moved.push({ goid, runtime, entry, before: before.stateOf(was, located), after: after.stateOf(is, located) });
    } else if (hasRun(was.g, is.g) || (after.program !== null && isUncounted(is.g, after.program.waitReasons))) {
      returned.push(goid);
    } else {
      parked.push(goid);
    }
  }
  for (const [goid, is] of after.all) {
    if (!before.all.has(goid)) started.push(after.list(is, started.length < MAX_LOCATED));
  }
  return { started, ended, moved, returned, parked };
}

function groupsOf(before: Side, after: Side, changes: Changes | null): GroupDiff[] {
  const counts = new Map<string, { before: number; after: number; started: number; ended: number }>();
  const of = (key: string): { before: number; after: number; started: number; ended: number } => {
    let count = counts.get(key);
    if (count === undefined) counts.set(key, (count = { before: 0, after: 0, started: 0, ended: 0 }));
    return count;
  };
  for (const [goid, { key }] of before.all) {
    const count = of(key);
    count.before++;
    if (!after.all.has(goid)) count.ended++;
  }
  for (const [goid, { key }] of after.all) {
    const count = of(key);
    count.after++;
    if (!before.all.has(goid)) count.started++;
  }
  return [...counts]
    .map(([key, count]) => ({
      key,
      runtime: after.runtime,
      before: count.before,
      after: count.after,
      growth: count.after - count.before,
      started: changes === null ? null : count.started,
      ended: changes === null ? null : count.ended,
    }))
    .sort(byGrowth);
}

/** The order of groups. */
export function byGrowth(a: GroupDiff, b: GroupDiff): number {
  return b.growth - a.growth || b.after - a.after || (a.key < b.key ? -1 : 1);
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

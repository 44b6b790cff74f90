import type { GoProgram } from '../program.js';
import type { G, GoroutineStatus } from '../runtime/goroutine.js';
import { countsRuns, hasRun, isSamePlace, isUncounted } from '../runtime/parked.js';
import { describeGoroutines, Describer } from './goroutines.js';
import { nameKey, type GroupBy } from './groups.js';
import type { Goroutine, Loc, Target } from './model.js';
import type { Warning } from '../warnings.js';
import { comparedSchedulers, type SchedulerDiff } from './diff-scheduler.js';
import { relationOf, type Relation } from './relation.js';
import { targetOf } from './summary.js';

/** Where a goroutine was. */
export interface GoroutineState {
  readonly status: GoroutineStatus;
  readonly waitReason: string | null;
  /** The innermost frame outside of the runtime, else the innermost of all; null where it is not known. */
  readonly at: Loc | null;
}

/** A goroutine of one of the two. */
export interface ListedGoroutine extends GoroutineState {
  readonly goid: number;
  readonly entry: Loc | null;
  readonly creator: Loc | null;
}

/** A goroutine that went from one place to another. */
export interface Moved {
  readonly goid: number;
  readonly entry: Loc | null;
  readonly before: GoroutineState;
  readonly after: GoroutineState;
}

export interface GroupDiff {
  readonly key: string;
  readonly before: number;
  readonly after: number;
  readonly growth: number;
  /** null between two processes. */
  readonly started: number | null;
  readonly ended: number | null;
}

/** What became of the goroutines of one process, each list in the order of ids. */
export interface Changes {
  readonly started: readonly ListedGoroutine[];
  readonly ended: readonly ListedGoroutine[];
  readonly moved: readonly Moved[];
  /** Ids of those that ran, and are back where they were. */
  readonly returned: readonly number[];
  /** Ids of those that did not run in between. */
  readonly parked: readonly number[];
}

/** What changed between two looks. */
export interface Diff extends SchedulerDiff {
  readonly before: Target;
  readonly after: Target;
  readonly relation: Relation;
  readonly goroutines: { readonly before: number; readonly after: number };
  /** null between two processes: the ids of one mean nothing in the other. */
  readonly fates: Changes | null;
  /** By function names alone, which hold from build to build; the one that grew most first. */
  readonly groups: readonly GroupDiff[];
  readonly warnings: readonly Warning[];
}

/** Goroutines whose innermost frame outside of the runtime is looked for, of each list. */
const MAX_LOCATED = 10_000;

/** Compares two programs, or one at two times. */
export function compare(before: GoProgram, after: GoProgram, by: GroupBy): Diff {
  const relation = relationOf(before, after);
  const sides = [new Side(before, by), new Side(after, by)] as const;
  const fates = relation.kind === 'same-process' ? changesBetween(...sides) : null;
  return {
    before: targetOf(before),
    after: targetOf(after),
    relation,
    goroutines: { before: sides[0].all.size, after: sides[1].all.size },
    fates,
    groups: groupsOf(...sides, fates),
    ...comparedSchedulers(before, after, relation.kind === 'same-process'),
    warnings: [...warningsOf(before, 'before'), ...warningsOf(after, 'after'), ...guesses(before, fates)],
  };
}

interface Described {
  readonly g: G;
  readonly goroutine: Goroutine;
  readonly key: string;
}

/** All goroutines of one program. */
class Side {
  readonly program: GoProgram;
  readonly all = new Map<number, Described>();
  readonly #located: Describer;

  constructor(program: GoProgram, by: GroupBy) {
    this.program = program;
    this.#located = new Describer(program, { frames: false, user: true });
    const keyOf = nameKey(program, by);
    for (const { g, goroutine } of describeGoroutines(program, { frames: false, user: by.kind === 'user' })) {
      this.all.set(g.goid, { g, goroutine, key: keyOf(g, goroutine) });
    }
  }

  standing({ g, goroutine }: Described, located: boolean): GoroutineState {
    const { status, waitReason, current } = goroutine;
    const at = located ? (this.#located.goroutine(g).user ?? current) : current;
    return { status, waitReason, at };
  }

  passing(described: Described, located: boolean): ListedGoroutine {
    const { goid, entry, creator } = described.goroutine;
    return { goid, entry, creator, ...this.standing(described, located) };
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
      ended.push(before.passing(was, ended.length < MAX_LOCATED));
    } else if (!isSamePlace(was.g, is.g)) {
      const located = moved.length < MAX_LOCATED;
      const { entry } = is.goroutine;
      moved.push({ goid, entry, before: before.standing(was, located), after: after.standing(is, located) });
    } else if (hasRun(was.g, is.g) || isUncounted(is.g, after.program.waitReasons)) {
      returned.push(goid);
    } else {
      parked.push(goid);
    }
  }
  for (const [goid, is] of after.all) {
    if (!before.all.has(goid)) started.push(after.passing(is, started.length < MAX_LOCATED));
  }
  return { started, ended, moved, returned, parked };
}

function groupsOf(before: Side, after: Side, fates: Changes | null): GroupDiff[] {
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
      before: count.before,
      after: count.after,
      growth: count.after - count.before,
      started: fates === null ? null : count.started,
      ended: fates === null ? null : count.ended,
    }))
    .sort((a, b) => b.growth - a.growth || b.after - a.after || (a.key < b.key ? -1 : 1));
}

function warningsOf({ image, warnings }: GoProgram, which: string): Warning[] {
  return [...image.capture.warnings, ...warnings].map((warning) => ({
    ...warning,
    message: `${which}: ${warning.message}`,
  }));
}

function guesses(program: GoProgram, fates: Changes | null): Warning[] {
  if (fates === null || countsRuns(program.layouts)) return [];
  const message =
    'before Go 1.17 the runtime does not count how often a goroutine ran: one that is back where it was counts as parked';
  return [{ code: 'parked-by-place', message }];
}

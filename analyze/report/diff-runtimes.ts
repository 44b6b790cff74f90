import { basename } from 'node:path/posix';
import type { GoProgram, Programs } from '../program.js';
import type { Answer } from './answer.js';
import { joined, targetOfAll } from './all-runtimes.js';
import { compare, compareRuntimes, type Diff, type Pair } from './diff.js';
import { byGrowth, type Changes } from './diff-changes.js';
import type { SchedulerDiff } from './diff-scheduler.js';
import type { GroupBy } from './groups.js';
import { LongList } from './long-list.js';
import { relationOf } from './relation.js';

/**
 * Compares two captures with any number of Go runtimes each. Those of the same file are compared with one another;
 * `relation` and `sched` are those of the first, but for ticks, which are sums. Numbers of runtimes are those of the later capture; a runtime that is
 * only in the earlier one gets a number that is free there.
 */
export function compareAll(before: Programs, after: Programs, by: GroupBy): Answer<Diff> {
  const [pair, ...more] = pairsOf(before, after);
  if (pair !== undefined && more.length === 0 && pair.before !== null && pair.after !== null) {
    return compare(pair.before, pair.after, by);
  }
  const pairs = pair === undefined ? [] : [pair, ...more];
  const whole = pairs.find((one) => one.before !== null && one.after !== null);
  const relation = relationOf(whole?.before ?? before[0], whole?.after ?? after[0]);
  let free = after.reduce((most, { runtime }) => Math.max(most, runtime.n), 0);
  const answers = pairs.map((each) =>
    compareRuntimes(each, by, relation.kind === 'same-process', each.after?.runtime.n ?? ++free),
  );
  const parts = answers.map(({ value }) => value);
  const [first] = parts;
  if (first === undefined) throw new RangeError('there is no program to compare');
  const value: Diff = {
    before: targetOfAll(before),
    after: targetOfAll(after),
    relation,
    runtimes: parts.map(({ runtime }) => runtime),
    goroutines: {
      before: parts.reduce((sum, { goroutines }) => sum + goroutines.before, 0),
      after: parts.reduce((sum, { goroutines }) => sum + goroutines.after, 0),
    },
    changes: joinChanges(parts.flatMap(({ changes }) => changes ?? [])),
    groups: parts.flatMap(({ groups }) => groups).sort(byGrowth),
    ps: parts.flatMap(({ ps }) => ps),
    ms: joinMachines(parts.map(({ ms }) => ms)),
    sched: { ...first.sched, ...sumTicks(parts) },
  };
  return { value, warnings: joined(answers) };
}

/** Puts the lists of all runtimes together; null between two processes, where there are none. */
function joinChanges(parts: readonly Changes[]): Changes | null {
  const list = <T>(of: (changes: Changes) => LongList<T>): LongList<T> => LongList.joining(parts.map(of));
  if (parts.length === 0) return null;
  return {
    started: list(({ started }) => started),
    ended: list(({ ended }) => ended),
    moved: list(({ moved }) => moved),
    returned: list(({ returned }) => returned),
    parked: list(({ parked }) => parked),
  };
}

function sumTicks(parts: readonly SchedulerDiff[]): Pick<SchedulerDiff['sched'], 'schedtick' | 'syscalltick'> {
  const sum = (of: 'schedtick' | 'syscalltick'): number | null =>
    parts.reduce<number | null>(
      (total, { sched }) => (total === null || sched[of] === null ? null : total + sched[of]),
      0,
    );
  return { schedtick: sum('schedtick'), syscalltick: sum('syscalltick') };
}

function joinMachines(parts: readonly SchedulerDiff['ms'][]): SchedulerDiff['ms'] {
  const list = (key: 'started' | 'ended' | 'changed'): SchedulerDiff['ms'][typeof key] =>
    parts.some((ms) => ms[key] === null) ? null : parts.flatMap((ms) => ms[key] ?? []);
  return {
    total: {
      before: parts.reduce((sum, { total }) => sum + total.before, 0),
      after: parts.reduce((sum, { total }) => sum + total.after, 0),
    },
    started: list('started'),
    ended: list('ended'),
    changed: list('changed'),
  };
}

/** In which respects two runtimes may be the same one, the strictest first. */
const LIKENESS: readonly ((a: GoProgram, b: GoProgram) => boolean)[] = [
  ({ runtime: a }, { runtime: b }) => a.file === b.file && a.buildId === b.buildId && a.goBuildId === b.goBuildId,
  ({ runtime: a }, { runtime: b }) => a.file === b.file,
  ({ runtime: a }, { runtime: b }) => (a.buildId ?? a.goBuildId) !== null && a.buildId === b.buildId,
  ({ runtime: a }, { runtime: b }) => basename(a.file) === basename(b.file),
];

/** Each runtime of the later capture with the same one of the earlier, then those that only the earlier one has. */
function pairsOf(before: Programs, after: Programs): Pair[] {
  const [was, is] = [before[0], after[0]];
  // Two programs are compared whatever they are.
  if (before.length === 1 && after.length === 1) return [{ before: was, after: is }];
  const partners = new Map<GoProgram, GoProgram>();
  const left = new Set<GoProgram>(before);
  for (const isLike of LIKENESS) {
    for (const program of after) {
      const partner = partners.has(program) ? undefined : [...left].find((one) => isLike(one, program));
      if (partner === undefined) continue;
      partners.set(program, partner);
      left.delete(partner);
    }
  }
  return [
    ...after.map((program): Pair => ({ before: partners.get(program) ?? null, after: program })),
    ...[...left].map((program): Pair => ({ before: program, after: null })),
  ];
}

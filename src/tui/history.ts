import type { Group } from '../../analyze/report/groups.js';

/** Counts that are remembered of each group: as many as a wide screen shows. */
const KEPT = 40;
/** The time over which a rate is taken, in milliseconds: one look alone says little. */
const RATE_MS = 5000;
/** Groups that have no goroutine left are shown for so many looks. */
const SHOWN_EMPTY = 10;

/** How the goroutines of one group came and went. */
export interface Series {
  /** Goroutines at the first look. */
  readonly first: number;
  /** The last ones, the newest at the end; one for each of the times. */
  readonly counts: readonly number[];
  /** Looks since the last goroutine was seen. */
  readonly empty: number;
}

/** What was seen of all groups of one kind so far. */
export interface History {
  /** When the looks were taken, in milliseconds on any clock, the newest at the end. */
  readonly times: readonly number[];
  readonly total: Series;
  readonly groups: ReadonlyMap<string, Series>;
  /** As they were at the last look. */
  readonly last: readonly Group[];
  /** The last that was seen of groups that have no goroutine now. */
  readonly ended: ReadonlyMap<string, Group>;
}

const NOTHING: Series = { first: 0, counts: [], empty: 0 };
export const NO_HISTORY: History = { times: [], total: NOTHING, groups: new Map(), last: [], ended: new Map() };

/** The history with one more look in it. */
export function withLook(history: History, atMs: number, groups: readonly Group[]): History {
  const begins = history.times.length === 0;
  const next = new Map<string, Series>();
  for (const { key, count } of groups) next.set(key, longer(history, history.groups.get(key), count));
  const ended = new Map<string, Group>();
  for (const group of [...history.last, ...history.ended.values()]) {
    const series = history.groups.get(group.key);
    if (next.has(group.key) || series === undefined) continue;
    const longerSeries = longer(history, series, 0);
    if (longerSeries.empty > SHOWN_EMPTY) continue;
    next.set(group.key, longerSeries);
    ended.set(group.key, { ...group, count: 0, status: {}, minWaitNs: null, maxWaitNs: null });
  }
  const sum = groups.reduce((n, { count }) => n + count, 0);
  return {
    times: [...history.times, atMs].slice(-KEPT),
    total: longer(history, begins ? undefined : history.total, sum),
    groups: next,
    last: groups,
    ended,
  };
}

/** A group that was not there at the first look began with none. */
function longer({ times }: History, series: Series | undefined, count: number): Series {
  const first = series?.first ?? (times.length === 0 ? count : 0);
  const before = series?.counts ?? times.map(() => 0);
  return { first, counts: [...before, count].slice(-KEPT), empty: count === 0 ? (series?.empty ?? 0) + 1 : 0 };
}

/** Goroutines more than at the first look. */
export function delta({ first, counts }: Series): number {
  return (counts.at(-1) ?? first) - first;
}

/** Goroutines more a second, over the last few seconds; null before there are two looks. */
export function ratePerSecond({ times }: History, { counts }: Series): number | null {
  const now = times.at(-1);
  const last = counts.at(-1);
  if (now === undefined || last === undefined || times.length < 2) return null;
  const since = Math.min(
    times.length - 2,
    Math.max(
      0,
      times.findIndex((time) => now - time <= RATE_MS),
    ),
  );
  const then = times[since] ?? now;
  const before = counts.at(since - times.length) ?? last;
  return now === then ? null : ((last - before) * 1000) / (now - then);
}

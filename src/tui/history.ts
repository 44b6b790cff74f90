import type { Group } from '../../analyze/report/groups.js';

/** Counts that are kept of each group: as many as a wide screen shows. */
const MAX_COUNTS = 40;
/** Rates are taken over this many milliseconds: a single interval says little. */
const RATE_MS = 5000;
/** A group that has become empty is shown for this many samples. */
const SHOWN_EMPTY = 10;

/** How many goroutines a group had over time. */
export interface Series {
  /** Goroutines at the first sample. */
  readonly first: number;
  /** Goroutines at the last samples, the newest at the end, aligned with the end of {@link History.times}. */
  readonly counts: readonly number[];
  /** Samples since the group became empty; 0 while it has goroutines. */
  readonly empty: number;
}

/** The groups of one grouping over time. */
export interface History {
  /** When the last samples were taken, in milliseconds on any clock, the newest at the end. */
  readonly times: readonly number[];
  readonly total: Series;
  /** By the key of the group. */
  readonly groups: ReadonlyMap<string, Series>;
  /** The groups of the last sample. */
  readonly last: readonly Group[];
  /** Groups that have become empty lately, as they were before, with no goroutines. */
  readonly ended: ReadonlyMap<string, Group>;
}

const EMPTY_SERIES: Series = { first: 0, counts: [], empty: 0 };
export const NO_HISTORY: History = { times: [], total: EMPTY_SERIES, groups: new Map(), last: [], ended: new Map() };

/** Returns the history with the groups of one more sample. */
export function addSample(history: History, atMs: number, groups: readonly Group[]): History {
  const isFirst = history.times.length === 0;
  const next = new Map<string, Series>();
  for (const { key, count } of groups) next.set(key, extend(history, history.groups.get(key), count));
  const ended = new Map<string, Group>();
  for (const group of [...history.last, ...history.ended.values()]) {
    const series = history.groups.get(group.key);
    if (next.has(group.key) || series === undefined) continue;
    const extended = extend(history, series, 0);
    if (extended.empty > SHOWN_EMPTY) continue;
    next.set(group.key, extended);
    ended.set(group.key, { ...group, count: 0, status: {}, minWaitNs: null, maxWaitNs: null });
  }
  const sum = groups.reduce((n, { count }) => n + count, 0);
  return {
    times: [...history.times, atMs].slice(-MAX_COUNTS),
    total: extend(history, isFirst ? undefined : history.total, sum),
    groups: next,
    last: groups,
    ended,
  };
}

/** Adds a count to a series. A group that did not exist at the first sample had no goroutines then. */
function extend({ times }: History, series: Series | undefined, count: number): Series {
  const first = series?.first ?? (times.length === 0 ? count : 0);
  const before = series?.counts ?? times.map(() => 0);
  return { first, counts: [...before, count].slice(-MAX_COUNTS), empty: count === 0 ? (series?.empty ?? 0) + 1 : 0 };
}

/** How many goroutines more than at the first sample. */
export function delta({ first, counts }: Series): number {
  return (counts.at(-1) ?? first) - first;
}

/** The growth in goroutines per second over the last few seconds; null before the second sample. */
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

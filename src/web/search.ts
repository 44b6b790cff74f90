import type { Capture } from './capture.js';

/**
 * Returns the rows of the goroutines that match each word of a search: by id, state, what they wait on or work on, a function or file on the
 * stack or of the `go` statement, or a label as `name=value`.
 */
export function searchRows(capture: Capture, rows: readonly number[], search: string): readonly number[] {
  const words = search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  return words.reduce((left, word) => {
    const matches = matcher(capture, word);
    return left.filter(matches);
  }, rows);
}

/** Tests texts, places and stacks once each, so that a row is a few lookups. */
function matcher({ tables, data }: Capture, word: string): (row: number) => boolean {
  const { strings, locs, stacks } = tables.document;
  const text = strings.map((one) => one.toLowerCase().includes(word));
  const is = (number: number | undefined): boolean => text[number ?? -1] === true;
  const namesLine = word.includes(':');
  const loc = locs.map(([func, file, line]) => {
    if (is(func) || is(file)) return true;
    return namesLine && `${strings[file] ?? ''}:${line}`.toLowerCase().includes(word);
  });
  const isLoc = (number: number | undefined): boolean => loc[number ?? -1] === true;
  const stack = stacks.map(({ frames, truncated }) => is(truncated) || frames.some((frame) => isLoc(frame >> 1)));
  const labels = data.labelSets.map((set) => set.some(is) || pairsOf(set, strings).some((pair) => pair.includes(word)));
  const work = data.workSets.map((set) => set.some(is));
  const goid = /^\d+$/.test(word) ? Number(word) : -1;
  const columns = data.goroutines;
  return (row) =>
    columns.goid[row] === goid ||
    is(columns.waitReason[row]) ||
    is(columns.status[row]) ||
    isLoc(columns.entry[row]) ||
    isLoc(columns.creator[row]) ||
    stack[columns.stack[row] ?? -1] === true ||
    labels[columns.labels[row] ?? -1] === true ||
    is(columns.waitsOn[row]) ||
    work[columns.work[row] ?? -1] === true;
}

function pairsOf(set: readonly number[], strings: readonly string[]): string[] {
  const pairs: string[] = [];
  for (let i = 0; i < set.length; i += 2) {
    pairs.push(`${strings[set[i] ?? -1] ?? ''}=${strings[set[i + 1] ?? -1] ?? ''}`.toLowerCase());
  }
  return pairs;
}

/** Orders of goroutines. */
export const GOROUTINE_SORTS = ['goid', 'state', 'wait', 'start', 'where'] as const;
export type GoroutineSort = (typeof GOROUTINE_SORTS)[number];

/** Sorts rows. Equal ones stay in the order of their ids. */
export function sortRows(
  capture: Capture,
  rows: readonly number[],
  by: GoroutineSort,
  descending: boolean,
): readonly number[] {
  const sign = descending ? -1 : 1;
  if (by === 'goid') return descending ? [...rows].reverse() : rows;
  if (by === 'wait') return [...rows].sort((a, b) => sign * (capture.waitNs(a) - capture.waitNs(b)));
  const { goroutines } = capture.data;
  const { tables } = capture;
  const of: (row: number) => number =
    by === 'state'
      ? (row) => capture.stateOf(row)
      : by === 'start'
        ? (row) => tables.funcOf(goroutines.entry[row] ?? -1)
        : (row) => tables.funcOf(capture.userOf(row));
  const ranks = new Map(
    [...new Set(rows.map(of))]
      .map((number) => ({ number, text: tables.raw(number) }))
      .sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
      .map(({ number }, rank) => [number, rank]),
  );
  return [...rows].sort((a, b) => sign * ((ranks.get(of(a)) ?? 0) - (ranks.get(of(b)) ?? 0)));
}

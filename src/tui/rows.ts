import { keyPrefix } from '../../analyze/report/all-runtimes.js';
import type { Group } from '../../analyze/report/groups.js';
import type { Member } from '../../analyze/report/live-view.js';
import type { Frame, Goroutine, GoroutineWithStack } from '../../analyze/report/model.js';
import { outsideRuntime } from '../../analyze/report/runtime-code.js';
import type { PlaceOf } from '../render/place.js';
import { duration, printable } from '../render/text.js';
import { delta, ratePerSecond, type Series } from './history.js';
import { currentLevel, historyOf, type SortKey, type State } from './state.js';

/** One line of the list on the screen. */
export interface Row {
  /** The key of a group, the id of a goroutine, or the number of a line of a stack. */
  readonly id: string;
  readonly name: string;
  /** Shown after the name where there is room. */
  readonly file: string;
  readonly state: string;
  readonly waitNs: number | null;
  readonly count: number;
  /** null before the second sample. */
  readonly delta: number | null;
  readonly ratePerSecond: number | null;
  readonly trend: readonly number[];
}

/** Rows by state: states never change. */
const CACHE = new WeakMap<State, readonly Row[]>();

/** The list on the screen, filtered and sorted. */
export function rowsOf(state: State): readonly Row[] {
  const cached = CACHE.get(state);
  if (cached !== undefined) return cached;
  const rows = buildRows(state);
  CACHE.set(state, rows);
  return rows;
}

/** The index of the line that Enter opens: the first one if the selected one has gone. */
export function selectedIndex(state: State): number {
  const { selected } = currentLevel(state);
  if (selected === null) return 0;
  return Math.max(
    0,
    rowsOf(state).findIndex(({ id }) => id === selected),
  );
}

function buildRows(state: State): readonly Row[] {
  const { view, filter, sort } = state;
  const level = currentLevel(state);
  switch (level.kind) {
    case 'groups':
      return groupRows(state).filter(matches(filter)).sort(COMPARE[sort]);
    case 'goroutines':
      return (view?.members ?? [])
        .map((member) => goroutineRow(member, state.placeOf))
        .filter(matches(filter))
        .sort(COMPARE[sort]);
    case 'stack':
      if (view?.question.goid !== level.goid) return [];
      return stackLines(view.goroutine, state.placeOf)
        .map((name, i) => ({ ...BLANK, id: String(i), name }))
        .filter(matches(filter));
  }
}

const BLANK: Row = {
  ...{ id: '', name: '', file: '', state: '', waitNs: null, count: 0, delta: null, ratePerSecond: null, trend: [] },
};

/** Rows of all groups, and of groups that have become empty lately. */
function groupRows(state: State): Row[] {
  const history = historyOf(state);
  const runtimes = state.view?.summary.runtimes ?? [];
  const prefixes = new Map(runtimes.length > 1 ? runtimes.map((runtime) => [runtime.n, keyPrefix(runtime)]) : []);
  const groups = state.view?.groups ?? [];
  const present = new Set(groups.map(({ key }) => key));
  const ended = [...history.ended.values()].filter(({ key }) => !present.has(key));
  return [...groups, ...ended].map((group) => {
    const series: Series | null = history.times.length < 2 ? null : (history.groups.get(group.key) ?? null);
    return {
      id: group.key,
      ...namesOf(group, prefixes.get(group.runtime) ?? '', state.placeOf),
      state: stateOf(group),
      waitNs: group.maxWaitNs,
      count: group.count,
      delta: series === null ? null : delta(series),
      ratePerSecond: series === null ? null : ratePerSecond(history, series),
      trend: series?.counts ?? [],
    };
  });
}

/** `prefix` names the runtime where there are several: the key has it already. */
function namesOf({ key, loc, frames, text }: Group, prefix: string, placeOf: PlaceOf): Pick<Row, 'name' | 'file'> {
  if (text !== undefined) return { name: printable(prefix + text), file: '' };
  if (frames !== undefined && frames.length > 0) return { name: printable(prefix) + stackName(frames), file: '' };
  if (loc === undefined || loc === null) return { name: printable(key), file: '' };
  return { name: printable(prefix + loc.func), file: placeOf(loc) };
}

/** The functions on a stack outside the runtime, innermost first; all where there are no others. */
function stackName(frames: readonly Frame[]): string {
  const own = outsideRuntime(frames);
  const shown = own.length === 0 ? frames : own;
  return shown.map(({ func }) => printable(func)).join(' < ');
}

/** The wait reason if all have the same, else the most frequent status. */
function stateOf({ status, waitReason, count }: Group): string {
  if (waitReason !== null) return printable(waitReason);
  const [most] = Object.entries(status).sort(([, a], [, b]) => b - a);
  return most === undefined ? '' : most[1] === count ? most[0] : `${most[1]} ${most[0]}`;
}

/** As Go's own traceback has it. */
function stateOfOne({ status, waitReason }: Goroutine): string {
  return `${waitReason ?? status}${status === 'leaked' ? ' (leaked)' : ''}`;
}

function goroutineRow(g: Member, placeOf: PlaceOf): Row {
  const where = g.at ?? g.entry;
  const labels = Object.entries(g.labels).map(([key, value]) => `${printable(key)}=${printable(value)}`);
  return {
    ...BLANK,
    id: String(g.goid),
    name: where === null ? '?' : printable(where.func),
    file: [where === null ? '' : placeOf(where), ...labels].join(' ').trim(),
    state: printable(stateOfOne(g)),
    waitNs: g.waitSinceNs,
  };
}

/** The lines of a goroutine's stack, much like Go's own traceback. */
function stackLines(g: GoroutineWithStack | null, placeOf: PlaceOf): string[] {
  if (g === null) return ['This goroutine has ended.'];
  const facts = [
    stateOfOne(g),
    ...(g.waitSinceNs === null ? [] : [`for ${duration(g.waitSinceNs)} or longer`]),
    ...(g.thread === null ? [] : [`on M${g.thread.m}, thread ${g.thread.tid}`]),
    ...(g.lockedToThread ? ['locked to its thread'] : []),
  ];
  const labels = Object.entries(g.labels).map(([key, value]) => `${key}=${value}`);
  return [
    `goroutine ${g.goid} [${facts.join(', ')}]`,
    ...(labels.length === 0 ? [] : [`labels: ${labels.join(' ')}`]),
    ...g.frames.flatMap((frame) => [frame.func, `    ${placeOf(frame)}`]),
    ...(g.truncated === null ? [] : [`... the stack ends here: ${g.truncated}`]),
    ...(g.creator === null || g.goid === 1
      ? []
      : [
          `created by ${g.creator.func}${g.parentGoid === null ? '' : ` in goroutine ${g.parentGoid}`}`,
          `    ${placeOf(g.creator)}`,
        ]),
  ].map(printable);
}

function matches(filter: string): (row: Row) => boolean {
  const wanted = filter.toLowerCase();
  return ({ id, name, file, state }) =>
    wanted === '' || `${id}\n${name}\n${file}\n${state}`.toLowerCase().includes(wanted);
}

const byNumber =
  (of: (row: Row) => number | null) =>
  (a: Row, b: Row): number =>
    (of(b) ?? -Infinity) - (of(a) ?? -Infinity) || b.count - a.count || byText(a, b);

/** By id where both are numbers, else by name: lists keep their order while nothing changes. */
function byText(a: Row, b: Row): number {
  const [x, y] = [Number(a.id), Number(b.id)];
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1;
}

const COMPARE: Readonly<Record<SortKey, (a: Row, b: Row) => number>> = {
  count: byNumber(({ count }) => count),
  delta: byNumber((row) => row.delta),
  rate: byNumber((row) => row.ratePerSecond),
  wait: byNumber(({ waitNs }) => waitNs),
  name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : byText(a, b)),
};

import type { Group } from '../../analyze/report/groups.js';
import type { Frame, Goroutine, Loc } from '../../analyze/report/model.js';
import { isRuntime } from '../../analyze/report/locations.js';
import { duration, printable } from '../render/text.js';
import { delta, ratePerSecond, type Series } from './history.js';
import { currentView, historyOf, type SortKey, type State } from './state.js';

/** One line of the list on the screen. */
export interface Row {
  /** The key of a group, the id of a goroutine, the number of a line. */
  readonly id: string;
  readonly name: string;
  /** Said behind the name where there is room. */
  readonly file: string;
  readonly state: string;
  readonly waitNs: number | null;
  readonly count: number;
  /** null where nothing was counted before. */
  readonly delta: number | null;
  readonly ratePerSecond: number | null;
  readonly trend: readonly number[];
}

/** Lines above and below the list. */
const HEAD_LINES = 4;
const FOOT_LINES = 1;

/** Lines of the list that fit on the screen. */
export function bodyHeight({ rows }: State): number {
  return Math.max(1, rows - HEAD_LINES - FOOT_LINES);
}

/** The list on the screen, filtered and in its order. */
export function rowsOf(state: State): readonly Row[] {
  const known = ROWS.get(state);
  if (known !== undefined) return known;
  const rows = made(state);
  ROWS.set(state, rows);
  return rows;
}

/** States never change: their rows are made once. */
const ROWS = new WeakMap<State, readonly Row[]>();

function made(state: State): readonly Row[] {
  const view = currentView(state);
  switch (view.kind) {
    case 'groups':
      return groupRows(state).filter(matching(state.filter)).sort(COMPARE[state.sort]);
    case 'goroutines':
      return (state.look?.members ?? []).map(goroutineRow).filter(matching(state.filter)).sort(COMPARE[state.sort]);
    case 'stack':
      if (state.look?.question.goid !== view.goid) return [];
      return stackLines(state.look.goroutine)
        .map((name, i) => ({ ...BLANK, id: String(i), name }))
        .filter(matching(state.filter));
  }
}

const BLANK: Row = {
  ...{ id: '', name: '', file: '', state: '', waitNs: null, count: 0, delta: null, ratePerSecond: null, trend: [] },
};

/** The rows of all groups, those that have ended lately too. */
export function groupRows(state: State): Row[] {
  const history = historyOf(state);
  const groups = state.look?.groups ?? [];
  const present = new Set(groups.map(({ key }) => key));
  const ended = [...history.ended.values()].filter(({ key }) => !present.has(key));
  return [...groups, ...ended].map((group) => {
    const series: Series | null = history.times.length < 2 ? null : (history.groups.get(group.key) ?? null);
    return {
      id: group.key,
      ...namesOf(group),
      state: stateOf(group),
      waitNs: group.maxWaitNs,
      count: group.count,
      delta: series === null ? null : delta(series),
      ratePerSecond: series === null ? null : ratePerSecond(history, series),
      trend: series?.counts ?? [],
    };
  });
}

function namesOf({ key, loc, frames }: Group): Pick<Row, 'name' | 'file'> {
  if (frames !== undefined) return { name: stackName(key, frames), file: '' };
  if (loc === undefined || loc === null) return { name: printable(key), file: '' };
  return { name: printable(loc.func), file: place(loc) };
}

/** The program's own functions on a stack, innermost first. */
function stackName(key: string, frames: readonly Frame[]): string {
  const own = frames.filter(({ func }) => !isRuntime(func));
  const shown = own.length === 0 ? frames : own;
  return shown.length === 0 ? printable(key) : shown.map(({ func }) => printable(func)).join(' < ');
}

/** The wait that all have in common, or the most frequent state. */
function stateOf({ status, waitReason, count }: Group): string {
  if (waitReason !== null) return printable(waitReason);
  const [most] = Object.entries(status).sort(([, a], [, b]) => b - a);
  return most === undefined ? '' : most[1] === count ? most[0] : `${most[1]} ${most[0]}`;
}

function goroutineRow(g: Goroutine): Row {
  const where = g.user ?? g.current ?? g.entry;
  const labels = Object.entries(g.labels).map(([key, value]) => `${printable(key)}=${printable(value)}`);
  return {
    ...BLANK,
    id: String(g.goid),
    name: where === null ? '?' : printable(where.func),
    file: [where === null ? '' : place(where), ...labels].join(' ').trim(),
    state: printable(g.waitReason ?? g.status),
    waitNs: g.waitSinceNs,
  };
}

/** A goroutine as Go's own traceback has it. */
export function stackLines(g: Goroutine | null): string[] {
  if (g === null) return ['This goroutine has ended.'];
  const facts = [
    g.waitReason ?? g.status,
    ...(g.waitSinceNs === null ? [] : [`for ${duration(g.waitSinceNs)} or longer`]),
    ...(g.thread === null ? [] : [`on M${g.thread.m}, thread ${g.thread.tid}`]),
    ...(g.lockedToThread ? ['locked to its thread'] : []),
  ];
  const labels = Object.entries(g.labels).map(([key, value]) => `${key}=${value}`);
  return [
    `goroutine ${g.goid} [${facts.join(', ')}]`,
    ...(labels.length === 0 ? [] : [`labels: ${labels.join(' ')}`]),
    ...g.frames.flatMap((frame) => [frame.func, `    ${frame.file}:${frame.line}`]),
    ...(g.truncated === null ? [] : [`... the stack ends here: ${g.truncated}`]),
    ...(g.creator === null || g.goid === 1
      ? []
      : [
          `created by ${g.creator.func}${g.parentGoid === null ? '' : ` in goroutine ${g.parentGoid}`}`,
          `    ${g.creator.file}:${g.creator.line}`,
        ]),
  ].map(printable);
}

function place({ file, line }: Loc): string {
  return `${printable(file)}:${line}`;
}

function matching(filter: string): (row: Row) => boolean {
  const wanted = filter.toLowerCase();
  return ({ id, name, file, state }) =>
    wanted === '' || `${id}\n${name}\n${file}\n${state}`.toLowerCase().includes(wanted);
}

const byNumber =
  (of: (row: Row) => number | null) =>
  (a: Row, b: Row): number =>
    (of(b) ?? -Infinity) - (of(a) ?? -Infinity) || b.count - a.count || byText(a, b);

/** Equal ones, and goroutines, by what they are called: the lists stand still where nothing changes. */
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

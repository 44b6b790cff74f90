import type { GroupBy } from '../../analyze/report/groups.js';
import type { LiveView, ViewQuery } from '../../analyze/report/live-view.js';
import { NO_HISTORY, withLook, type History } from './history.js';
import { bodyHeight, rowsOf } from './rows.js';

/** In the order of the keys that go through them. */
export const SORT_KEYS = ['count', 'delta', 'rate', 'wait', 'name'] as const;
export type SortKey = (typeof SORT_KEYS)[number];
export type Mode = 'live' | 'stop';

/** One list on the screen, above the one that Escape goes back to. */
export type View =
  | { readonly kind: 'groups'; readonly selected: string | null; readonly top: number }
  | { readonly kind: 'goroutines'; readonly key: string; readonly selected: string | null; readonly top: number }
  | { readonly kind: 'stack'; readonly goid: number; readonly selected: null; readonly top: number };

/** All that decides what is on the screen. */
export interface State {
  readonly columns: number;
  readonly rows: number;
  /** Of a running process; null for a file, which does not change. */
  readonly sampling: { readonly mode: Mode; readonly intervalMs: number; readonly paused: boolean } | null;
  readonly by: GroupBy;
  readonly sort: SortKey;
  readonly filter: string;
  /** True while the filter is being typed. */
  readonly typing: boolean;
  readonly help: boolean;
  /** The last one is on the screen. */
  readonly views: readonly [View, ...View[]];
  readonly look: LiveView | null;
  readonly histories: ReadonlyMap<string, History>;
  /** For how long the process has stood still in all, and how often. */
  readonly pausedNs: number;
  readonly looks: number;
  readonly message: string | null;
}

/** What happens to a state. */
export type Event =
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'resized'; readonly columns: number; readonly rows: number }
  | { readonly kind: 'looked'; readonly look: LiveView; readonly atMs: number; readonly pauseNs: number }
  /** The look at hand answered another question. */
  | { readonly kind: 'answered'; readonly look: LiveView }
  | { readonly kind: 'said'; readonly message: string };

/** What is to be done outside of the state. */
export type Effect = 'quit' | 'interrupt' | 'suspend' | 'save' | 'ask' | 'reschedule';

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

const INTERVALS_MS = [100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000];
/** What the digits and Tab choose. */
const GROUPINGS: readonly GroupBy[] = [
  { kind: 'start' },
  { kind: 'stack' },
  { kind: 'wait' },
  { kind: 'label', key: '' },
  { kind: 'status' },
  { kind: 'caller' },
  { kind: 'user' },
];
const SORT_LETTERS: ReadonlyMap<string, SortKey> = new Map([
  ['c', 'count'],
  ['d', 'delta'],
  ['r', 'rate'],
  ['w', 'wait'],
  ['n', 'name'],
]);

export function initialState(given: Pick<State, 'columns' | 'rows' | 'sampling' | 'by' | 'sort' | 'filter'>): State {
  return {
    ...given,
    typing: false,
    help: false,
    views: [{ kind: 'groups', selected: null, top: 0 }],
    look: null,
    histories: new Map(),
    pausedNs: 0,
    looks: 0,
    message: null,
  };
}

/** What the screen needs to know of the program. */
export function questionOf({ by, views }: State): ViewQuery {
  const opened = views.find((view) => view.kind === 'goroutines');
  const followed = views.find((view) => view.kind === 'stack');
  return { by, open: opened?.key ?? null, goid: followed?.goid ?? null };
}

export function currentView({ views }: State): View {
  return views.at(-1) ?? views[0];
}

export function byName(by: GroupBy): string {
  return by.kind === 'label' ? `label:${by.key}` : by.kind;
}

export function historyOf({ histories, by }: State): History {
  return histories.get(byName(by)) ?? NO_HISTORY;
}

/** What follows from an event. Pure. */
export function update(state: State, event: Event): Step {
  const { state: next, effects } = changed(state, event);
  return { state: scrolled(next), effects };
}

function changed(state: State, event: Event): Step {
  switch (event.kind) {
    case 'resized':
      return only({ ...state, columns: event.columns, rows: event.rows });
    case 'said':
      return only({ ...state, message: event.message });
    case 'answered':
      return only({ ...state, look: event.look });
    case 'looked': {
      const pausedNs = state.pausedNs + event.pauseNs;
      return only(noted({ ...state, look: event.look, pausedNs, looks: state.looks + 1 }, event.atMs, event.look));
    }
    case 'key':
      if (event.key === 'CTRL_C') return { state, effects: ['interrupt'] };
      if (event.key === 'CTRL_Z') return { state, effects: ['suspend'] };
      if (state.typing) return typed(state, event.key);
      return pressed({ ...state, message: null }, event.key);
  }
}

/** With the look in the history of the grouping on the screen. */
function noted(state: State, atMs: number, { groups }: LiveView): State {
  const next = withLook(historyOf(state), atMs, groups);
  return { ...state, histories: new Map(state.histories).set(byName(state.by), next) };
}

function typed(state: State, key: string): Step {
  switch (key) {
    case 'ENTER':
      return only({ ...state, typing: false });
    case 'ESCAPE':
      return only({ ...state, typing: false, filter: '' });
    case 'BACKSPACE':
      return only({ ...state, filter: state.filter.replace(/.$/u, '') });
    case 'CTRL_U':
      return only({ ...state, filter: '' });
    default:
      return only(/^.$/u.test(key) ? { ...state, filter: state.filter + key } : state);
  }
}

function pressed(state: State, key: string): Step {
  if (state.help) return only({ ...state, help: false });
  const sort = SORT_LETTERS.get(key);
  if (sort !== undefined) return only({ ...state, sort });
  if (/^[1-7]$/.test(key)) return regrouped(state, Number(key) - 1);
  switch (key) {
    case 'q':
      return { state, effects: ['quit'] };
    case '?':
    case 'h':
      return only({ ...state, help: true });
    case '/':
      return only({ ...state, typing: true });
    case 's':
      return { state, effects: ['save'] };
    case 'TAB':
      return regrouped(state, (groupingIndex(state) + 1) % GROUPINGS.length);
    case 'SHIFT_TAB':
      return regrouped(state, (groupingIndex(state) + GROUPINGS.length - 1) % GROUPINGS.length);
    case '<':
    case '>':
      return only({ ...state, sort: nextSort(state.sort, key === '>' ? 1 : -1) });
    case 'ENTER':
      return opened(state);
    case 'ESCAPE':
    case 'BACKSPACE':
      return back(state);
    case 'p':
    case 'm':
    case '+':
    case '-':
      return sampled(state, key);
    default:
      return only(moved(state, key));
  }
}

function regrouped(state: State, index: number): Step {
  const wanted = GROUPINGS[index] ?? { kind: 'start' };
  const by = wanted.kind === 'label' ? nextLabel(state) : wanted;
  if (by === null) return only({ ...state, message: 'no goroutine of this program has a label' });
  return { state: { ...state, by, views: [{ kind: 'groups', selected: null, top: 0 }] }, effects: ['ask'] };
}

/** The labels take turns. */
function nextLabel({ by, look }: State): GroupBy | null {
  const keys = look?.labelKeys ?? [];
  const at = by.kind === 'label' ? keys.indexOf(by.key) : -1;
  const key = keys[(at + 1) % keys.length];
  return key === undefined ? null : { kind: 'label', key };
}

function groupingIndex({ by }: State): number {
  return GROUPINGS.findIndex(({ kind }) => kind === by.kind);
}

function nextSort(sort: SortKey, step: number): SortKey {
  const at = SORT_KEYS.indexOf(sort) + step + SORT_KEYS.length;
  return SORT_KEYS[at % SORT_KEYS.length] ?? 'count';
}

function opened(state: State): Step {
  const view = currentView(state);
  const row = rowsOf(state)[selectedIndex(state)];
  if (row === undefined || view.kind === 'stack') return only(state);
  const next: View =
    view.kind === 'groups'
      ? { kind: 'goroutines', key: row.id, selected: null, top: 0 }
      : { kind: 'stack', goid: Number(row.id), selected: null, top: 0 };
  return { state: { ...state, views: [...state.views, next], filter: '' }, effects: ['ask'] };
}

function back(state: State): Step {
  if (state.filter !== '') return only({ ...state, filter: '' });
  const [first, ...others] = state.views;
  if (others.length === 0) return only(state);
  return { state: { ...state, views: [first, ...others.slice(0, -1)] }, effects: ['ask'] };
}

function sampled(state: State, key: string): Step {
  const { sampling } = state;
  if (sampling === null) return only({ ...state, message: 'a file does not change' });
  const { paused, mode, intervalMs } = sampling;
  if (key === 'p') return { state: { ...state, sampling: { ...sampling, paused: !paused } }, effects: ['reschedule'] };
  if (key === 'm') {
    return {
      state: { ...state, sampling: { ...sampling, mode: mode === 'live' ? 'stop' : 'live' } },
      effects: ['reschedule'],
    };
  }
  const next =
    key === '+' ? INTERVALS_MS.find((ms) => ms > intervalMs) : INTERVALS_MS.findLast((ms) => ms < intervalMs);
  return {
    state: { ...state, sampling: { ...sampling, intervalMs: next ?? intervalMs } },
    effects: ['reschedule'],
  };
}

/** Lines that a key goes down, by the lines of a page. */
const STEPS: Readonly<Record<string, (page: number) => number>> = {
  UP: () => -1,
  k: () => -1,
  DOWN: () => 1,
  j: () => 1,
  PAGE_UP: (page) => -page,
  PAGE_DOWN: (page) => page,
  HOME: () => -Infinity,
  g: () => -Infinity,
  END: () => Infinity,
  G: () => Infinity,
};

function moved(state: State, key: string): State {
  const step = STEPS[key]?.(bodyHeight(state)) ?? 0;
  if (step === 0) return state;
  const view = currentView(state);
  if (view.kind === 'stack') return withView(state, { ...view, top: view.top + step });
  const rows = rowsOf(state);
  const index = Math.min(rows.length - 1, Math.max(0, selectedIndex(state) + step));
  return withView(state, { ...view, selected: index <= 0 ? null : (rows[index]?.id ?? null) });
}

/** The line that Enter opens; the first one where the chosen one has gone. */
export function selectedIndex(state: State): number {
  const { selected } = currentView(state);
  return selected === null
    ? 0
    : Math.max(
        0,
        rowsOf(state).findIndex(({ id }) => id === selected),
      );
}

/** Moves the list so that the selected line is on the screen. */
function scrolled(state: State): State {
  const view = currentView(state);
  const [count, height] = [rowsOf(state).length, bodyHeight(state)];
  const last = Math.max(0, count - height);
  let { top } = view;
  if (view.kind !== 'stack') {
    const index = selectedIndex(state);
    top = Math.min(index, Math.max(top, index - height + 1));
  }
  top = Math.min(last, Math.max(0, top));
  return top === view.top ? state : withView(state, { ...view, top });
}

function withView(state: State, view: View): State {
  const views = [...state.views.slice(0, -1), view];
  return { ...state, views: views as [View, ...View[]] };
}

function only(state: State): Step {
  return { state, effects: [] };
}

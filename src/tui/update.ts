import type { LiveView, ViewBy } from '../../analyze/report/live-view.js';
import { addSample } from './history.js';
import { rowsOf, selectedIndex } from './rows.js';
import {
  bodyHeight,
  byName,
  currentLevel,
  GROUPS,
  historyOf,
  SORT_KEYS,
  type Level,
  type SortKey,
  type State,
} from './state.js';

/** What can happen. */
export type Event =
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'resize'; readonly columns: number; readonly rows: number }
  /** The process was sampled. `atMs` is on any clock; it stood still for `pauseNs`. */
  | { readonly kind: 'sample'; readonly view: LiveView; readonly atMs: number; readonly pauseNs: number }
  /** The last sample was queried again. */
  | { readonly kind: 'view'; readonly view: LiveView }
  | { readonly kind: 'message'; readonly message: string };

/** What the session must do after an update. `query`: query the last sample again. `reschedule`: sample at once. */
export type Effect = 'quit' | 'interrupt' | 'suspend' | 'save' | 'query' | 'reschedule';

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

const INTERVALS_MS = [100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000];
/** Groupings by their digit; Tab steps through them. */
const GROUPINGS: readonly ViewBy[] = [
  { kind: 'start' },
  { kind: 'stack' },
  { kind: 'wait' },
  { kind: 'label', key: '' },
  { kind: 'status' },
  { kind: 'caller' },
  { kind: 'user' },
  { kind: 'locks' },
  { kind: 'work' },
];
const SORT_LETTERS: ReadonlyMap<string, SortKey> = new Map([
  ['c', 'count'],
  ['d', 'delta'],
  ['r', 'rate'],
  ['w', 'wait'],
  ['n', 'name'],
]);

/** Returns the state after an event, and what is left to do. Pure. */
export function update(state: State, event: Event): Step {
  const { state: next, effects } = handle(state, event);
  return { state: scrollToSelected(next), effects };
}

function handle(state: State, event: Event): Step {
  switch (event.kind) {
    case 'resize':
      return stay({ ...state, columns: event.columns, rows: event.rows });
    case 'message':
      return stay({ ...state, message: event.message });
    case 'view':
      return stay({ ...state, view: event.view });
    case 'sample': {
      const { view, atMs, pauseNs } = event;
      const history = addSample(historyOf(state), atMs, view.groups);
      const histories = new Map(state.histories).set(byName(state.by), history);
      const pausedNs = state.pausedNs + pauseNs;
      return stay({ ...state, view, histories, pausedNs, samples: state.samples + 1 });
    }
    case 'key':
      if (event.key === 'CTRL_C') return { state, effects: ['interrupt'] };
      if (event.key === 'CTRL_Z') return { state, effects: ['suspend'] };
      if (state.typing) return typeFilter(state, event.key);
      return press({ ...state, message: null }, event.key);
  }
}

function typeFilter(state: State, key: string): Step {
  switch (key) {
    case 'ENTER':
      return stay({ ...state, typing: false });
    case 'ESCAPE':
      return stay({ ...state, typing: false, filter: '' });
    case 'BACKSPACE':
      return stay({ ...state, filter: state.filter.replace(/.$/u, '') });
    case 'CTRL_U':
      return stay({ ...state, filter: '' });
    default:
      return stay(/^.$/u.test(key) ? { ...state, filter: state.filter + key } : state);
  }
}

function press(state: State, key: string): Step {
  if (state.help) return stay({ ...state, help: false });
  const sort = SORT_LETTERS.get(key);
  if (sort !== undefined) return stay({ ...state, sort });
  if (/^[1-9]$/.test(key)) return regroup(state, Number(key) - 1);
  switch (key) {
    case 'q':
      return { state, effects: ['quit'] };
    case '?':
    case 'h':
      return stay({ ...state, help: true });
    case '/':
      return stay({ ...state, typing: true });
    case 's':
      return { state, effects: ['save'] };
    case 'TAB':
      return regroup(state, (groupingIndex(state) + 1) % GROUPINGS.length);
    case 'SHIFT_TAB':
      return regroup(state, (groupingIndex(state) + GROUPINGS.length - 1) % GROUPINGS.length);
    case '<':
    case '>':
      return stay({ ...state, sort: nextSort(state.sort, key === '>' ? 1 : -1) });
    case 'ENTER':
      return openSelected(state);
    case 'ESCAPE':
    case 'BACKSPACE':
      return goBack(state);
    case 'p':
    case 'm':
    case '+':
    case '-':
      return changeSampling(state, key);
    default:
      return stay(move(state, key));
  }
}

function regroup(state: State, index: number): Step {
  const wanted = GROUPINGS[index] ?? { kind: 'start' };
  const by = wanted.kind === 'label' ? nextLabel(state) : wanted;
  if (by === null) return stay({ ...state, message: 'no goroutine of this program has a label' });
  return { state: { ...state, by, levels: [GROUPS] }, effects: ['query'] };
}

/** The label after the current one; the first one after the last. */
function nextLabel({ by, view }: State): ViewBy | null {
  const keys = view?.labelKeys ?? [];
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

function openSelected(state: State): Step {
  const level = currentLevel(state);
  const row = rowsOf(state)[selectedIndex(state)];
  if (row === undefined || level.kind === 'stack') return stay(state);
  const next: Level =
    level.kind === 'groups'
      ? { kind: 'goroutines', key: row.id, selected: null, top: 0 }
      : { kind: 'stack', goid: Number(row.id), selected: null, top: 0 };
  return { state: { ...state, levels: [...state.levels, next], filter: '' }, effects: ['query'] };
}

function goBack(state: State): Step {
  if (state.filter !== '') return stay({ ...state, filter: '' });
  const [first, ...deeper] = state.levels;
  if (deeper.length === 0) return stay(state);
  return { state: { ...state, levels: [first, ...deeper.slice(0, -1)] }, effects: ['query'] };
}

function changeSampling(state: State, key: 'p' | 'm' | '+' | '-'): Step {
  const { sampling } = state;
  if (sampling === null) return stay({ ...state, message: 'a file does not change' });
  const { paused, mode, intervalMs } = sampling;
  const changed = (): Partial<typeof sampling> => {
    switch (key) {
      case 'p':
        return { paused: !paused };
      case 'm':
        return { mode: mode === 'live' ? 'stop' : 'live' };
      case '+':
        return { intervalMs: INTERVALS_MS.find((ms) => ms > intervalMs) ?? intervalMs };
      case '-':
        return { intervalMs: INTERVALS_MS.findLast((ms) => ms < intervalMs) ?? intervalMs };
    }
  };
  return { state: { ...state, sampling: { ...sampling, ...changed() } }, effects: ['reschedule'] };
}

/** How many lines a key moves down, given the lines of a page. */
const MOVES: Readonly<Record<string, (page: number) => number>> = {
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

function move(state: State, key: string): State {
  const lines = MOVES[key]?.(bodyHeight(state)) ?? 0;
  if (lines === 0) return state;
  const level = currentLevel(state);
  if (level.kind === 'stack') return withLevel(state, { ...level, top: level.top + lines });
  const rows = rowsOf(state);
  const index = Math.min(rows.length - 1, Math.max(0, selectedIndex(state) + lines));
  return withLevel(state, { ...level, selected: index <= 0 ? null : (rows[index]?.id ?? null) });
}

/** Scrolls the list so that the selected line is on the screen. */
function scrollToSelected(state: State): State {
  const level = currentLevel(state);
  const [count, height] = [rowsOf(state).length, bodyHeight(state)];
  const last = Math.max(0, count - height);
  let { top } = level;
  if (level.kind !== 'stack') {
    const index = selectedIndex(state);
    top = Math.min(index, Math.max(top, index - height + 1));
  }
  top = Math.min(last, Math.max(0, top));
  return top === level.top ? state : withLevel(state, { ...level, top });
}

/** Replaces the level on the screen. */
function withLevel(state: State, level: Level): State {
  const levels = [...state.levels.slice(0, -1), level];
  return { ...state, levels: levels as [Level, ...Level[]] };
}

function stay(state: State): Step {
  return { state, effects: [] };
}

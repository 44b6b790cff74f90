import type { LiveView, ViewBy, ViewQuery } from '../../analyze/report/live-view.js';
import { asBuilt, type PlaceOf } from '../render/place.js';
import { NO_HISTORY, type History } from './history.js';

/** Sort orders, as `<` and `>` step through them. */
export const SORT_KEYS = ['count', 'delta', 'rate', 'wait', 'name'] as const;
export type SortKey = (typeof SORT_KEYS)[number];
export type Mode = 'live' | 'stop';

/** What the list shows: all groups, the goroutines of one group, or the stack of one goroutine. */
export type Level =
  | { readonly kind: 'groups'; readonly selected: string | null; readonly top: number }
  | { readonly kind: 'goroutines'; readonly key: string; readonly selected: string | null; readonly top: number }
  | { readonly kind: 'stack'; readonly goid: number; readonly selected: null; readonly top: number };

/** Everything that decides what is on the screen. */
export interface State {
  readonly columns: number;
  readonly rows: number;
  /** How a process is sampled; null for a file, which does not change. */
  readonly sampling: { readonly mode: Mode; readonly intervalMs: number; readonly paused: boolean } | null;
  readonly by: ViewBy;
  readonly sort: SortKey;
  readonly filter: string;
  /** True while the user types the filter. */
  readonly typing: boolean;
  readonly help: boolean;
  /** The levels that Enter has gone down; the last one is on the screen, and Escape goes back to the one before. */
  readonly levels: readonly [Level, ...Level[]];
  /** What the program was doing at the last sample; null before the first. */
  readonly view: LiveView | null;
  /** Counts over time by grouping, as {@link byName} names it. */
  readonly histories: ReadonlyMap<string, History>;
  /** For how long the process has stood still for all samples together. */
  readonly pausedNs: number;
  /** Samples that were taken. */
  readonly samples: number;
  readonly message: string | null;
  /** How places in code are shown. */
  readonly placeOf: PlaceOf;
}

/** The groups, with nothing selected and not scrolled. */
export const GROUPS: Level = { kind: 'groups', selected: null, top: 0 };

export function initialState(
  options: Pick<State, 'columns' | 'rows' | 'sampling' | 'by' | 'sort' | 'filter'>,
  placeOf = asBuilt,
): State {
  return {
    ...options,
    typing: false,
    help: false,
    levels: [GROUPS],
    view: null,
    histories: new Map(),
    pausedNs: 0,
    samples: 0,
    message: null,
    placeOf,
  };
}

/** What the screen needs to know about the program. */
export function queryOf({ by, levels }: State): ViewQuery {
  const open = levels.find((level) => level.kind === 'goroutines');
  const stack = levels.find((level) => level.kind === 'stack');
  return { by, open: open?.key ?? null, goid: stack?.goid ?? null };
}

/** The level on the screen. */
export function currentLevel({ levels }: State): Level {
  return levels.at(-1) ?? levels[0];
}

/** The name of a grouping, as `--group-by` takes it. */
export function byName(by: ViewBy): string {
  return by.kind === 'label' ? `label:${by.key}` : by.kind;
}

/** The history of the current grouping. */
export function historyOf({ histories, by }: State): History {
  return histories.get(byName(by)) ?? NO_HISTORY;
}

/** Lines above and below the list. */
const HEAD_LINES = 4;
const FOOT_LINES = 1;

/** How many lines of the list fit on the screen. */
export function bodyHeight({ rows }: State): number {
  return Math.max(1, rows - HEAD_LINES - FOOT_LINES);
}

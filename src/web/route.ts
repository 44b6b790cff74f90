import { useEffect, useState } from 'preact/hooks';

/** The views of the page, in the order of its tabs. */
export const VIEWS = [
  'overview',
  'groups',
  'goroutines',
  'flame',
  'waits',
  'leaks',
  'scheduler',
  'labels',
  'changes',
] as const;
export type View = (typeof VIEWS)[number];

/** What is shown: the part of the address behind `#`, so that links and the back button work. */
export interface Route {
  readonly view: View;
  readonly params: Readonly<Record<Param, string>>;
}

/**
 * `q`: the search. `by`: what is grouped by. `group`: a group of that. `g`, `r`: a goroutine and its runtime. `sort`: a column, with `-`
 * before it if descending. `at`: a place in the flame graph. `side`: which of two captures. `own`: whether the runtime's goroutines are left out.
 */
const PARAMS = ['q', 'by', 'group', 'g', 'r', 'sort', 'at', 'side', 'own'] as const;
type Param = (typeof PARAMS)[number];
type Given = Partial<Record<Param, string>>;

/** A link to a view. */
export function href(view: View, given: Given = {}): string {
  const params = new URLSearchParams();
  for (const name of PARAMS) {
    const value = given[name] ?? '';
    if (value !== '') params.set(name, value);
  }
  const query = params.toString();
  return `#${view}${query === '' ? '' : `?${query}`}`;
}

/** A column that a list is sorted by, and whether it is in descending order. */
export interface Sorting {
  readonly column: string;
  readonly descending: boolean;
}

/** The sorting that the address names: a column, with `-` before it if descending. */
export function sortingOf(sort: string): Sorting {
  const descending = sort.startsWith('-');
  return { column: descending ? sort.slice(1) : sort, descending };
}

/** What the address shows. */
export function parseRoute(hash: string): Route {
  const [name = '', query = ''] = hash.replace(/^#/, '').split('?', 2);
  const given = new URLSearchParams(query);
  const params = Object.fromEntries(PARAMS.map((param) => [param, given.get(param) ?? ''])) as Record<Param, string>;
  return { view: VIEWS.find((view) => view === name) ?? 'overview', params };
}

/** The route, and ways to change it: `change` adds a step to the history of the browser, `amend` does not. */
export interface Navigation {
  readonly route: Route;
  readonly change: (given: Given) => void;
  readonly amend: (given: Given) => void;
}

export function useNavigation(): Navigation {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const update = (): void => setRoute(parseRoute(location.hash));
    addEventListener('hashchange', update);
    return () => removeEventListener('hashchange', update);
  }, []);
  const show = (step: 'pushState' | 'replaceState', given: Given): void => {
    // At once, so that the next key finds what this one has changed.
    history[step](null, '', href(route.view, { ...route.params, ...given }));
    setRoute(parseRoute(location.hash));
  };
  return { route, change: (given) => show('pushState', given), amend: (given) => show('replaceState', given) };
}

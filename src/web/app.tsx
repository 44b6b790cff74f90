import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { printable, withThousands } from '../render/text.js';
import { Capture, Tables } from './capture.js';
import { Changes } from './changes.js';
import type { PageDocument } from './document.js';
import { Flame } from './flame.js';
import { Goroutines } from './goroutines.js';
import { Groups } from './groups-view.js';
import { Labels } from './labels.js';
import { Leaks } from './leaks-view.js';
import { Overview } from './overview.js';
import { href, useNavigation, VIEWS, type Navigation, type View } from './route.js';
import { Scheduler } from './scheduler.js';
import { searchRows } from './search.js';
import { Waits } from './waits-view.js';

const TITLES: Readonly<Record<View, string>> = {
  overview: 'Overview',
  groups: 'Groups',
  goroutines: 'Goroutines',
  flame: 'Flame graph',
  waits: 'Waits',
  leaks: 'Leaks',
  scheduler: 'Ps and Ms',
  labels: 'Labels',
  changes: 'Changes',
};
/** Views of goroutines, which the search narrows down. */
const SEARCHED: readonly View[] = ['groups', 'goroutines', 'flame', 'labels'];
/** Milliseconds without a key until what was typed is searched for. */
const PAUSE_MS = 120;

/** The page. */
export function App({ document: shown }: { document: PageDocument }): JSX.Element {
  const navigation = useNavigation();
  const { view, params } = navigation.route;
  const [later, earlier] = useMemo(() => {
    const tables = new Tables(shown);
    return [new Capture(tables, shown.capture), shown.earlier === null ? null : new Capture(tables, shown.earlier)];
  }, [shown]);
  const isEarlier = params.side === 'a' && earlier !== null;
  const capture = isEarlier ? earlier : later;
  const side = isEarlier ? 'a' : '';
  const own = useMemo(() => {
    const all = capture.rows();
    return params.own === 'no' ? all.filter((row) => !capture.has(row, 'system')) : all;
  }, [capture, params.own]);
  const rows = useMemo(() => searchRows(capture, own, params.q), [capture, own, params.q]);
  const { target, goroutines } = capture.data.summary;
  const views = VIEWS.filter((one) => one !== 'changes' || shown.changes !== null);
  useEffect(() => {
    globalThis.document.title = `${TITLES[view]}: ${printable(capture.data.name)}`;
  }, [view, capture]);
  return (
    <>
      <header>
        <div class="top">
          <h1 title={printable(target.bin)}>{printable(target.bin.split('/').at(-1) ?? '')}</h1>
          <p class="small">
            {printable(capture.data.name)} · pid {target.pid} · Go {printable(target.goVersion)}
            {target.capturedAt !== null && ` · ${printable(target.capturedAt)}`}
          </p>
          {earlier !== null && (
            <p class="sides" role="group" aria-label="Which capture">
              <a href={href(view, { ...params, g: '', side: 'a' })} aria-current={isEarlier ? 'true' : undefined}>
                Before
              </a>
              <a href={href(view, { ...params, g: '', side: '' })} aria-current={isEarlier ? undefined : 'true'}>
                After
              </a>
            </p>
          )}
        </div>
        <nav aria-label="Views">
          {views.map((one) => (
            <a
              key={one}
              href={href(one, { q: params.q, own: params.own, side })}
              aria-current={one === view ? 'page' : undefined}
            >
              {TITLES[one]}
            </a>
          ))}
        </nav>
      </header>
      <main class={`view-${view}`}>
        {SEARCHED.includes(view) && <SearchBar navigation={navigation} matching={rows.length} of={capture.count} />}
        {capture.count < goroutines.total && (
          <p class="note">
            This page lists {withThousands(capture.count)} of {withThousands(goroutines.total)} goroutines: those that
            were asked for.
          </p>
        )}
        {view === 'overview' && <Overview capture={capture} side={side} />}
        {view === 'groups' && <Groups {...{ capture, side, rows, navigation }} />}
        {view === 'goroutines' && <Goroutines {...{ capture, side, rows, navigation }} />}
        {view === 'flame' && <Flame {...{ capture, side, rows, navigation }} />}
        {view === 'waits' && <Waits capture={capture} side={side} />}
        {view === 'leaks' && <Leaks capture={capture} side={side} />}
        {view === 'scheduler' && <Scheduler capture={capture} side={side} />}
        {view === 'labels' && <Labels {...{ capture, side, rows }} />}
        {view === 'changes' && earlier !== null && shown.changes !== null && (
          <Changes earlier={earlier} later={later} changes={shown.changes} navigation={navigation} />
        )}
      </main>
      <footer class="small dim">gospy {printable(shown.writer)} · loads nothing from anywhere</footer>
    </>
  );
}

function SearchBar({
  navigation,
  matching,
  of,
}: {
  navigation: Navigation;
  matching: number;
  of: number;
}): JSX.Element {
  const { route, amend, change } = navigation;
  const { q, own } = route.params;
  const [text, setText] = useState(q);
  const input = useRef<HTMLInputElement>(null);
  const waiting = useRef(0);
  const given = useRef(q);
  useEffect(() => {
    // The address has changed by a link, not by typing.
    if (q !== given.current) setText(q);
    given.current = q;
  }, [q]);
  useEffect(() => {
    const focus = (event: KeyboardEvent): void => {
      if (event.key !== '/' || event.target instanceof HTMLInputElement) return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener('keydown', focus);
    return () => removeEventListener('keydown', focus);
  }, []);
  const type = (typed: string): void => {
    setText(typed);
    clearTimeout(waiting.current);
    waiting.current = window.setTimeout(() => {
      given.current = typed;
      amend({ q: typed, at: '' });
    }, PAUSE_MS);
  };
  return (
    <form class="search" role="search" onSubmit={(event) => event.preventDefault()}>
      <input
        ref={input}
        type="search"
        aria-label="Search goroutines"
        placeholder="Search: function, file:line, wait reason, label=value, id   ( / )"
        value={text}
        onInput={(event) => type(event.currentTarget.value)}
      />
      <label class="check">
        <input
          type="checkbox"
          checked={own === 'no'}
          onChange={() => change({ own: own === 'no' ? '' : 'no', at: '' })}
        />
        hide the runtime’s own
      </label>
      <span class="small dim" role="status">
        {matching === of
          ? `${withThousands(of)} goroutines`
          : `${withThousands(matching)} of ${withThousands(of)} goroutines`}
      </span>
    </form>
  );
}

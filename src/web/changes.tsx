import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { printable, withThousands } from '../render/text.js';
import type { Capture } from './capture.js';
import type { PageChange, PageChanges, PageState } from './document.js';
import { age, shortFunc } from './format.js';
import { GroupChoice } from './group-choice.js';
import { Grid, type Column } from './grid.js';
import { groupRows, titleOf } from './groups.js';
import { Fact, GoroutineLink, PlainTable, Section } from './parts.js';
import { href, sortingOf, type Navigation } from './route.js';

interface ChangesProps {
  readonly earlier: Capture;
  readonly later: Capture;
  readonly changes: PageChanges;
  readonly navigation: Navigation;
}

/** A group in both captures. */
interface GroupPair {
  readonly id: string;
  readonly title: string;
  readonly detail: string;
  readonly before: number;
  readonly after: number;
}

const RELATIONS = {
  'same-process': 'of one process',
  'same-build': 'of two processes of one build',
  'other-build': 'of two builds',
} as const;

/** Two captures side by side. */
export function Changes({ earlier, later, changes, navigation }: ChangesProps): JSX.Element {
  const { route, change } = navigation;
  const by = route.params.by === '' ? 'start' : route.params.by;
  const sort = route.params.sort === '' ? '-growth' : route.params.sort;
  const pairs = useMemo(() => pairGroups(earlier, later, by), [earlier, later, by]);
  const sorted = useMemo(() => sortPairs(pairs, sort), [pairs, sort]);
  const { elapsedNs, kind } = changes.relation;
  return (
    <div class="view">
      <p class="note">
        Two captures {RELATIONS[kind]}
        {elapsedNs !== null && `, ${age(Math.abs(elapsedNs))} apart`}.
      </p>
      <Sides earlier={earlier} later={later} changes={changes} />
      <Section title="Groups">
        <p class="note">
          <GroupChoice capture={later} by={by} onChoose={(next) => change({ by: next, sort: '' })} />
        </p>
        <Grid
          label={`Changes by ${titleOf(by)}`}
          columns={columnsOf(by)}
          items={sorted}
          keyOf={({ id }) => id}
          sort={sort}
          onSort={(next) => change({ sort: next })}
          onOpen={({ id, after }) =>
            (location.hash = href('goroutines', { by, group: id, side: after === 0 ? 'a' : '' }))
          }
          lines={2}
        />
      </Section>
      {changes.lists !== null && (
        <>
          <List title="Started" list={changes.lists.started} later={later} earlier={earlier} />
          <List title="Ended" list={changes.lists.ended} later={later} earlier={earlier} />
          <List title="Moved" list={changes.lists.moved} later={later} earlier={earlier} />
        </>
      )}
    </div>
  );
}

function Sides({ earlier, later, changes }: Omit<ChangesProps, 'navigation'>): JSX.Element {
  const [a, b] = [earlier.data.summary, later.data.summary];
  const rows: (readonly [name: string, before: number, after: number])[] = [
    ['goroutines', a.goroutines.total, b.goroutines.total],
    ...(['running', 'runnable', 'syscall', 'waiting'] as const).map(
      (status) => [status, a.goroutines[status], b.goroutines[status]] as const,
    ),
    ['threads', a.threads.total, b.threads.total],
    ['global run queue', a.sched.runqsize, b.sched.runqsize],
    ['idle Ps', a.sched.npidle, b.sched.npidle],
  ];
  return (
    <div class="columns">
      <Section title="Side by side">
        <PlainTable
          label="Counts side by side"
          heads={['Count', `Before: ${printable(earlier.data.name)}`, `After: ${printable(later.data.name)}`, 'Change']}
          rows={rows.map(([name, before, after]) => [
            name,
            withThousands(before),
            withThousands(after),
            signed(after - before),
          ])}
        />
      </Section>
      {changes.lists !== null && (
        <Section title="What became of the goroutines">
          <dl class="facts across">
            <Fact name="Started">{withThousands(changes.lists.started.length)}</Fact>
            <Fact name="Ended">{withThousands(changes.lists.ended.length)}</Fact>
            <Fact name="Moved">{withThousands(changes.lists.moved.length)}</Fact>
            <Fact name="Ran, and are back">{withThousands(changes.returned)}</Fact>
            <Fact name="Did not run">{withThousands(changes.parked)}</Fact>
            {changes.schedtick !== null && (
              <Fact name="Times Ps scheduled one">{withThousands(changes.schedtick)}</Fact>
            )}
          </dl>
        </Section>
      )}
    </div>
  );
}

function signed(n: number): string {
  return n > 0 ? `+${withThousands(n)}` : n < 0 ? `−${withThousands(-n)}` : '0';
}

function pairGroups(earlier: Capture, later: Capture, by: string): GroupPair[] {
  const all = (capture: Capture): ReturnType<typeof groupRows> => groupRows(capture, capture.rows(), by);
  const pairs = new Map<string, GroupPair>();
  for (const { id, title, detail, rows } of all(earlier))
    pairs.set(id, { id, title, detail, before: rows.length, after: 0 });
  for (const { id, title, detail, rows } of all(later)) {
    pairs.set(id, { id, title, detail, before: pairs.get(id)?.before ?? 0, after: rows.length });
  }
  return [...pairs.values()];
}

function sortPairs(pairs: readonly GroupPair[], sort: string): GroupPair[] {
  const { column, descending } = sortingOf(sort);
  const direction = descending ? -1 : 1;
  const values: Record<string, (pair: GroupPair) => number> = {
    before: ({ before }) => before,
    after: ({ after }) => after,
    growth: ({ before, after }) => after - before,
  };
  const valueOf = (Object.hasOwn(values, column) ? values[column] : undefined) ?? (() => 0);
  return [...pairs].sort((a, b) => direction * (valueOf(a) - valueOf(b)) || b.after - a.after);
}

function columnsOf(by: string): Column<GroupPair>[] {
  return [
    {
      id: 'growth',
      head: 'Change',
      width: '84px',
      numeric: true,
      sorts: true,
      cell: ({ before, after }) => signed(after - before),
    },
    {
      id: 'before',
      head: 'Before',
      width: '76px',
      numeric: true,
      sorts: true,
      cell: ({ before }) => withThousands(before),
    },
    {
      id: 'after',
      head: 'After',
      width: '76px',
      numeric: true,
      sorts: true,
      cell: ({ after }) => withThousands(after),
    },
    {
      ...{ id: 'title', head: titleOf(by).replace(/^./, (c) => c.toUpperCase()), width: 'minmax(120px, 1fr)' },
      cell: ({ title, detail }) => (
        <span class="two" title={`${title}\n${detail}`}>
          <span class="func">{title}</span>
          <span class="file">{detail}</span>
        </span>
      ),
    },
  ];
}

/** Goroutines of a list that are shown. */
const SHOWN = 100;

function List({
  title,
  list,
  earlier,
  later,
}: {
  title: string;
  list: NonNullable<PageChanges['lists']>['started'];
  earlier: Capture;
  later: Capture;
}): JSX.Element | null {
  if (list.length === 0) return null;
  const place = (state: PageState | null): string =>
    state === null
      ? ''
      : `${state.waitReason ?? state.status} in ${shortFunc(later.tables.place(state.at)?.func ?? '?')}`;
  const link = ({ goid, runtime, after }: PageChange): JSX.Element =>
    after === null ? (
      <GoroutineLink capture={earlier} side="a" goid={goid} runtime={runtime} />
    ) : (
      <GoroutineLink capture={later} side="" goid={goid} runtime={runtime} />
    );
  return (
    <Section title={`${title}: ${withThousands(list.length)}`}>
      <PlainTable
        label={title}
        heads={['Goroutine', 'Function', 'Before', 'After']}
        rows={list.shown
          .slice(0, SHOWN)
          .map((one) => [
            link(one),
            <span class="func">{shortFunc(later.tables.place(one.entry)?.func ?? '–')}</span>,
            printable(place(one.before)),
            printable(place(one.after)),
          ])}
      />
      {list.length > SHOWN && <p class="dim">{withThousands(list.length - SHOWN)} more: `gospy diff` lists them.</p>}
    </Section>
  );
}

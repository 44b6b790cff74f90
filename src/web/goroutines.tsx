import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { printable } from '../render/text.js';
import { age } from './format.js';
import { Goroutine } from './goroutine.js';
import { Grid, type Column } from './grid.js';
import { groupRows, rowsOfGroup, titleOf } from './groups.js';
import { PlaceText, State, type RowsProps, type ViewProps } from './parts.js';
import { sortingOf } from './route.js';
import { GOROUTINE_SORTS, sortRows } from './search.js';

/** The goroutines that match, one a row, and the one that is open. */
export function Goroutines({ rows, navigation, ...props }: RowsProps): JSX.Element {
  const { capture } = props;
  const { route, change } = navigation;
  const { by, group, sort, g, r } = route.params;
  const { column, descending } = sortingOf(sort);
  const order = GOROUTINE_SORTS.find((one) => one === column) ?? 'goid';
  const members = useMemo(
    () => (group === '' ? rows : rowsOfGroup(capture, rows, by, group)),
    [capture, rows, by, group],
  );
  const sorted = useMemo(() => sortRows(capture, members, order, descending), [capture, members, order, descending]);
  const open = g === '' ? -1 : capture.row(Number(g), r === '' ? (capture.data.goroutines.runtime[0] ?? 1) : Number(r));
  const columns = useMemo(() => columnsOf(props), [capture]);
  return (
    <div class={`split${open < 0 ? '' : ' has-detail'}`}>
      <div class="list">
        {group !== '' && <GroupNote {...props} members={members} by={by} onAll={() => change({ by: '', group: '' })} />}
        <Grid
          label="Goroutines"
          columns={columns}
          items={sorted}
          keyOf={String}
          sort={sort === '' ? 'goid' : sort}
          onSort={(next) => change({ sort: next })}
          selected={open < 0 ? null : open}
          onOpen={(row) =>
            change({ g: String(capture.goid(row)), r: capture.isOneRuntime ? '' : String(capture.runtime(row)) })
          }
        />
      </div>
      {open >= 0 && <Goroutine {...props} row={open} onClose={() => change({ g: '', r: '' })} />}
    </div>
  );
}

function GroupNote({
  capture,
  members,
  by,
  onAll,
}: ViewProps & { members: readonly number[]; by: string; onAll: () => void }): JSX.Element {
  const [group] = groupRows(capture, members.slice(0, 1), by);
  return (
    <p class="note">
      With one {titleOf(by)}: <strong>{group?.title ?? 'none of those that match'}</strong>{' '}
      <button type="button" onClick={onAll}>
        Show all
      </button>
    </p>
  );
}

function columnsOf({ capture }: ViewProps): Column<number>[] {
  return [
    { id: 'goid', head: 'Id', width: '72px', numeric: true, sorts: true, cell: (row) => capture.goid(row) },
    {
      ...{ id: 'state', head: 'State', width: 'minmax(96px, 0.7fr)', sorts: true },
      cell: (row) => <State status={capture.status(row)} text={capture.state(row)} />,
    },
    {
      ...{ id: 'wait', head: 'Waits', width: '60px', numeric: true, sorts: true },
      cell: (row) => (capture.waitNs(row) < 0 ? '' : age(capture.waitNs(row))),
    },
    {
      ...{ id: 'start', head: 'Function', width: 'minmax(96px, 1fr)', sorts: true },
      cell: (row) => <PlaceText place={capture.entry(row)} />,
    },
    {
      ...{ id: 'where', head: 'Where', width: 'minmax(120px, 1fr)', sorts: true, narrow: false },
      cell: (row) => <PlaceText place={capture.user(row)} />,
    },
    {
      ...{ id: 'labels', head: 'Labels', width: 'minmax(60px, 0.6fr)', narrow: false },
      cell: (row) =>
        capture
          .labels(row)
          .map(([name, value]) => `${printable(name)}=${printable(value)}`)
          .join(' '),
    },
  ];
}

import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { pluralize, withThousands } from '../render/text.js';
import { age, percent } from './format.js';
import { GroupChoice } from './group-choice.js';
import { Grid, type Column } from './grid.js';
import { groupRows, titleOf, type Group } from './groups.js';
import { Detail, Fact, GoroutineLinks, StackView, type RowsProps, type ViewProps } from './parts.js';
import { href, sortingOf } from './route.js';

/** The goroutines that match, grouped by what they have in common. */
export function Groups({ rows, navigation, ...props }: RowsProps): JSX.Element {
  const { capture } = props;
  const { route, change } = navigation;
  const { sort, group } = route.params;
  const by = route.params.by === '' ? 'start' : route.params.by;
  const groups = useMemo(() => groupRows(capture, rows, by), [capture, rows, by]);
  const sorted = useMemo(() => sortGroups(groups, sort), [groups, sort]);
  const open = groups.find(({ id }) => id === group);
  const columns: Column<Group>[] = [
    {
      ...{ id: 'count', head: 'Goroutines', width: '100px', numeric: true, sorts: true },
      cell: ({ rows: { length } }) => withThousands(length),
    },
    {
      ...{ id: 'share', head: 'Share', width: '64px', numeric: true, narrow: false },
      cell: ({ rows: { length } }) => percent(length, rows.length),
    },
    {
      ...{
        id: 'title',
        head: titleOf(by).replace(/^./, (c) => c.toUpperCase()),
        width: 'minmax(140px, 1fr)',
        sorts: true,
      },
      cell: ({ title, detail }) => (
        <span class="two" title={detail === '' ? title : `${title}\n${detail}`}>
          <span class="func">{title}</span>
          <span class="file">{detail}</span>
        </span>
      ),
    },
    {
      ...{ id: 'wait', head: 'Longest wait', width: '108px', numeric: true, sorts: true },
      cell: ({ maxWaitNs }) => (maxWaitNs < 0 ? '' : age(maxWaitNs)),
    },
  ];
  return (
    <div class={`split${open === undefined ? '' : ' has-detail'}`}>
      <div class="list">
        <p class="note">
          <GroupChoice capture={capture} by={by} onChoose={(next) => change({ by: next, group: '', sort: '' })} />{' '}
          <span class="dim">{withThousands(groups.length)} groups</span>
        </p>
        <Grid
          label={`Groups by ${titleOf(by)}`}
          columns={columns}
          items={sorted}
          keyOf={({ id }) => id}
          sort={sort === '' ? '-count' : sort}
          onSort={(next) => change({ sort: next })}
          selected={open ?? null}
          onOpen={({ id }) => change({ group: id })}
          lines={2}
        />
      </div>
      {open !== undefined && (
        <GroupDetail {...props} group={open} by={by} q={route.params.q} onClose={() => change({ group: '' })} />
      )}
    </div>
  );
}

function sortGroups(groups: readonly Group[], sort: string): readonly Group[] {
  const { column, descending } = sortingOf(sort);
  const direction = descending ? -1 : 1;
  switch (column) {
    case 'count':
      return [...groups].sort((a, b) => direction * (a.rows.length - b.rows.length));
    case 'wait':
      return [...groups].sort((a, b) => direction * (a.maxWaitNs - b.maxWaitNs));
    case 'title':
      return [...groups].sort((a, b) => direction * (a.title < b.title ? -1 : a.title > b.title ? 1 : 0));
    default:
      return groups;
  }
}

/** Stacks of a group that are shown. */
const STACKS_SHOWN = 3;

function GroupDetail({
  group,
  by,
  q,
  onClose,
  ...props
}: ViewProps & { group: Group; by: string; q: string; onClose: () => void }): JSX.Element {
  const { capture, side } = props;
  const states = groupRows(capture, group.rows, 'wait');
  const stacks = groupRows(capture, group.rows, 'stack');
  const runtime = capture.runtime(group.rows[0] ?? 0);
  return (
    <Detail title={pluralize(group.rows.length, 'goroutine')} of={group.id} onClose={onClose}>
      <dl class="facts">
        <Fact name={titleOf(by).replace(/^./, (c) => c.toUpperCase())}>
          <span class="func">{group.title}</span> <span class="file">{group.detail}</span>
        </Fact>
        <Fact name="States">
          {states.slice(0, 8).map(({ title, rows }) => (
            <div key={title}>
              {withThousands(rows.length)} {title}
            </div>
          ))}
        </Fact>
        {group.maxWaitNs >= 0 && <Fact name="Longest wait">{age(group.maxWaitNs)} or longer</Fact>}
        <Fact name="Goroutines">
          <GoroutineLinks
            {...props}
            goids={group.rows.slice(0, 10).map((row) => capture.goid(row))}
            runtime={runtime}
            total={group.rows.length}
          />{' '}
          <a href={href('goroutines', { by, group: group.id, q, side })}>Show them all</a>
        </Fact>
      </dl>
      {stacks.slice(0, STACKS_SHOWN).map((stack) => {
        const found = capture.stack(stack.rows[0] ?? 0);
        return (
          <div key={stack.id}>
            <h3>{stacks.length === 1 ? 'The stack of all' : `The stack of ${withThousands(stack.rows.length)}`}</h3>
            <StackView
              lines={capture.tables.linesOf(found?.frames ?? [], found?.user ?? -1)}
              truncated={capture.tables.text(found?.truncated ?? -1)}
            />
          </div>
        );
      })}
      {stacks.length > STACKS_SHOWN && <p class="dim">{withThousands(stacks.length - STACKS_SHOWN)} more stacks.</p>}
    </Detail>
  );
}

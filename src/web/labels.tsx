import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { printable, withThousands } from '../render/text.js';
import { groupRows, labelNames } from './groups.js';
import { PlainTable, Section, type ViewProps } from './parts.js';
import { href } from './route.js';

/** Values of a label that are listed. */
const SHOWN = 20;

/** The pprof labels of the goroutines that match: which there are, and how many goroutines have each value. */
export function Labels({ rows, ...props }: ViewProps & { rows: readonly number[] }): JSX.Element {
  const { capture, side } = props;
  const names = useMemo(() => labelNames(capture), [capture]);
  if (names.length === 0) {
    return (
      <div class="view">
        <p class="note">No goroutine has pprof labels.</p>
      </div>
    );
  }
  return (
    <div class="view">
      <div class="columns">
        {names.map(({ name }) => (
          <Label key={name} {...{ capture, side, rows, name }} />
        ))}
      </div>
    </div>
  );
}

function Label({ capture, side, rows, name }: ViewProps & { rows: readonly number[]; name: string }): JSX.Element {
  const by = `label:${name}`;
  const groups = useMemo(() => groupRows(capture, rows, by), [capture, rows, by]);
  return (
    <Section title={printable(name)}>
      <PlainTable
        label={`Values of ${printable(name)}`}
        heads={['Goroutines', 'Value']}
        rows={groups
          .slice(0, SHOWN)
          .map(({ id: group, title, rows: { length } }) => [
            withThousands(length),
            <a href={href('goroutines', { by, group, side })}>{title}</a>,
          ])}
      />
      {groups.length > SHOWN && (
        <p>
          <a href={href('groups', { by, side })}>All {withThousands(groups.length)} values</a>
        </p>
      )}
    </Section>
  );
}

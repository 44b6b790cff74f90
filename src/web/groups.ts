import { printable } from '../render/text.js';
import type { Capture } from './capture.js';

/** What goroutines can be grouped by, besides a label: `label:NAME`. The words are those of `gospy goroutines --group-by`. */
export const GROUP_KINDS = [
  ['start', 'function'],
  ['stack', 'stack'],
  ['user', 'place outside the runtime'],
  ['caller', 'go statement'],
  ['current', 'innermost call'],
  ['wait', 'wait reason'],
  ['status', 'status'],
] as const;

/** Goroutines with something in common. */
export interface Group {
  /** Tells groups of one kind apart, in both captures of a page. */
  readonly id: string;
  readonly title: string;
  /** Says more, such as a file with a line. */
  readonly detail: string;
  readonly rows: readonly number[];
  /** Nanoseconds; -1 where no wait is known. */
  readonly maxWaitNs: number;
}

const NONE = '(none)';

/** Groups rows, the largest group first. */
export function groupRows(capture: Capture, rows: readonly number[], by: string): Group[] {
  const keyOf = keys(capture, by);
  const groups = new Map<string, { rows: number[]; maxWaitNs: number }>();
  for (const row of rows) {
    const key = keyOf(row);
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { rows: [], maxWaitNs: -1 }));
    group.rows.push(row);
    group.maxWaitNs = Math.max(group.maxWaitNs, capture.waitNs(row));
  }
  return [...groups]
    .map(([id, group]) => ({ id, ...describe(capture, by, Number.parseInt(id, 10)), ...group }))
    .sort((a, b) => b.rows.length - a.rows.length || (a.rows[0] ?? 0) - (b.rows[0] ?? 0));
}

/** The rows of one group. */
export function rowsOfGroup(capture: Capture, rows: readonly number[], by: string, id: string): readonly number[] {
  const keyOf = keys(capture, by);
  return rows.filter((row) => keyOf(row) === id);
}

/** Returns the id of a row's group: a number, and that of the runtime where there are several, which never share a group. */
function keys(capture: Capture, by: string): (row: number) => string {
  const numberOf = numbers(capture, by);
  return capture.isOneRuntime ? (row) => String(numberOf(row)) : (row) => `${numberOf(row)} of ${capture.runtime(row)}`;
}

/** The number of what the goroutine of a row has in common with its group: a place, a stack or a text. */
function numbers(capture: Capture, by: string): (row: number) => number {
  const { goroutines, labelSets } = capture.data;
  const column = (values: readonly number[]) => (row: number) => values[row] ?? -1;
  switch (by) {
    case 'stack':
      return column(goroutines.stack);
    case 'user':
      return (row) => capture.userOf(row);
    case 'caller':
      return column(goroutines.creator);
    case 'current':
      return column(goroutines.current);
    case 'wait':
      return (row) => capture.stateOf(row);
    case 'status':
      return column(goroutines.status);
    case 'start':
      return column(goroutines.entry);
    default: {
      const name = by.replace(/^label:/, '');
      const values = labelSets.map((set) => {
        for (let i = 0; i < set.length; i += 2) {
          if (capture.tables.raw(set[i] ?? -1) === name) return set[i + 1] ?? -1;
        }
        return -1;
      });
      return (row) => values[goroutines.labels[row] ?? -1] ?? -1;
    }
  }
}

function describe({ tables }: Capture, by: string, key: number): Pick<Group, 'title' | 'detail'> {
  if (by === 'wait' || by === 'status' || by.startsWith('label:')) {
    return { title: key < 0 ? NONE : tables.text(key) || '""', detail: '' };
  }
  if (by !== 'stack') {
    const place = tables.place(key);
    return place === null ? { title: NONE, detail: '' } : { title: place.func, detail: place.file };
  }
  const stack = tables.document.stacks[key];
  const lines = tables.linesOf(stack?.frames ?? [], stack?.user ?? -1);
  const shown = lines.filter(({ inner }) => !inner).slice(0, 4);
  return {
    title: shown[0]?.func ?? NONE,
    detail: shown
      .slice(1)
      .map(({ func }) => `← ${func}`)
      .join(' '),
  };
}

/** The names of all labels, and how many goroutines have each. */
export function labelNames(
  capture: Capture,
): { readonly name: string; readonly count: number; readonly values: number }[] {
  const { labelSets, goroutines } = capture.data;
  const counts = new Map<number, { count: number; values: Set<number> }>();
  for (const number of goroutines.labels) {
    const set = labelSets[number] ?? [];
    for (let i = 0; i < set.length; i += 2) {
      const name = set[i] ?? -1;
      let found = counts.get(name);
      if (found === undefined) counts.set(name, (found = { count: 0, values: new Set() }));
      found.count++;
      found.values.add(set[i + 1] ?? -1);
    }
  }
  return [...counts]
    .map(([name, { count, values }]) => ({ name: capture.tables.raw(name), count, values: values.size }))
    .sort((a, b) => b.count - a.count);
}

/** What a selection by `by` is called: `label tenant`. */
export function titleOf(by: string): string {
  const kind = GROUP_KINDS.find(([name]) => name === by);
  return kind === undefined ? `label ${printable(by.replace(/^label:/, ''))}` : kind[1];
}

import { printable, withThousands } from '../render/text.js';
import { padEnd, padStart } from '../render/width.js';
import { waitText } from './cells.js';
import { rowsOf } from './rows.js';
import { byName, type State } from './state.js';

/** One frame as plain text with whole function names, for scripts; empty before the first sample. `limit` 0: all rows. */
export function onceText(state: State, limit: number): string {
  if (state.view === null) return '';
  const { target, runtimes, goroutines, sched } = state.view.summary;
  const programs = runtimes.map(({ file, goVersion }) => `${printable(file)}, Go ${printable(goVersion)}`).join('; ');
  const rows = rowsOf(state);
  const shown = limit === 0 ? rows : rows.slice(0, limit);
  const lines = shown.map((row) =>
    [
      padStart(String(row.count), 9),
      padStart(waitText(row.waitNs), 8),
      padEnd(row.state, 24),
      row.file === '' ? row.name : `${row.name} (${row.file})`,
    ].join(' '),
  );
  return [
    `pid ${target.pid}: ${programs}, ` +
      `${goroutines.total} goroutines, ${goroutines.running} running, ${goroutines.runnable} runnable, ` +
      `${goroutines.syscall} syscall, ${goroutines.waiting} waiting, GC ${sched.gcPhase ?? 'not known'}`,
    '',
    `${padStart('COUNT', 9)} ${padStart('WAIT', 8)} ${padEnd('STATE', 24)} ${byName(state.by).toUpperCase()}`,
    ...lines,
    ...(rows.length > shown.length
      ? [`... ${withThousands(rows.length - shown.length)} more (--limit 0 prints all)`]
      : []),
    '',
  ].join('\n');
}

import { grouped, printable } from '../render/text.js';
import { rowsOf } from './rows.js';
import { waitText } from './screen.js';
import { byName, type State } from './state.js';

/** One frame as plain text, for scripts: function names are whole. `limit` 0 is all. */
export function onceText(state: State, limit: number): string {
  if (state.look === null) return '';
  const { target, goroutines, sched } = state.look.summary;
  const rows = rowsOf(state);
  const shown = limit === 0 ? rows : rows.slice(0, limit);
  const lines = shown.map((row) =>
    [
      String(row.count).padStart(9),
      waitText(row).padStart(8),
      row.state.padEnd(24),
      row.file === '' ? row.name : `${row.name} (${row.file})`,
    ].join(' '),
  );
  return [
    `pid ${target.pid}: ${printable(target.bin)}, Go ${printable(target.goVersion)}, ` +
      `${goroutines.total} goroutines, ${goroutines.running} running, ${goroutines.runnable} runnable, ` +
      `${goroutines.syscall} syscall, ${goroutines.waiting} waiting, GC ${sched.gcPhase ?? 'not known'}`,
    '',
    `${'COUNT'.padStart(9)} ${'WAIT'.padStart(8)} ${'STATE'.padEnd(24)} ${byName(state.by).toUpperCase()}`,
    ...lines,
    ...(rows.length > shown.length ? [`... ${grouped(rows.length - shown.length)} more (--limit 0 prints all)`] : []),
    '',
  ].join('\n');
}

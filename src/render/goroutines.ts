import type { Group } from '../../analyze/report/groups.js';
import type { Goroutine, Loc } from '../../analyze/report/model.js';
import { shortPath, table } from './table.js';
import { duration, pluralize, printable } from './text.js';
import { widthOf } from './width.js';

/** The least that is left for a file beside a function's name. */
const LEAST_FILE = 16;

/** A table of goroutines: id, state, for how long, and where. Function names are whole; files are cut to the width. */
export function goroutineTable(goroutines: readonly Goroutine[], columns: number): string {
  const rows = goroutines.map((g) => ({
    cells: [String(g.goid), stateOf(g), g.waitSinceNs === null ? '' : `${duration(g.waitSinceNs)}+`],
    loc: g.user ?? g.entry ?? g.current,
  }));
  const heads = ['GOID', 'STATE', 'WAIT'];
  const used = heads.reduce((sum, head, i) => {
    const widths = rows.map(({ cells }) => widthOf(cells[i] ?? ''));
    return sum + 2 + widths.reduce((a, b) => Math.max(a, b), head.length);
  }, 0);
  return table(
    [...heads, 'WHERE'],
    rows.map(({ cells, loc }) => [...cells, place(loc, columns - used)]),
  );
}

/** A group: how many, what they do, which they are, and what they have in common. */
export function groupText(group: Group): string {
  const states = Object.entries(group.status).map(([status, n]) => `${n} ${status}`);
  const what = group.waitReason === null ? states.join(', ') : printable(group.waitReason);
  const wait = group.maxWaitNs === null ? '' : `, for up to ${duration(group.maxWaitNs)} or longer`;
  const more = group.count > group.goids.length ? ', ...' : '';
  const head = `${pluralize(group.count, 'goroutine')} [${what}${wait}]: ${group.goids.join(', ')}${more}\n`;
  if (group.frames === undefined) return `${head}    ${printable(group.key)}\n\n`;
  return `${head}${group.frames.map((frame) => `    ${whole(frame)}\n`).join('')}\n`;
}

function stateOf(g: Goroutine): string {
  return `${printable(g.waitReason ?? g.status)}${g.torn ? ', torn' : ''}`;
}

function place(loc: Loc | null, room: number): string {
  if (loc === null) return '?';
  const func = printable(loc.func);
  const line = `:${loc.line}`;
  const left = Math.max(LEAST_FILE, room - widthOf(func) - 3 - line.length);
  return `${func} (${shortPath(printable(loc.file), left)}${line})`;
}

function whole({ func, file, line }: Loc): string {
  return `${printable(func)} (${printable(file)}:${line})`;
}

import type { Group } from '../../analyze/report/groups.js';
import type { Frame, Loc, PlacedGoroutine } from '../../analyze/report/model.js';
import { outsideRuntime } from '../../analyze/report/runtime-code.js';
import { asBuilt, placeText, type PlaceOf } from './place.js';
import { ONLY_ONE, runtimeCell, runtimeHead, runtimeSuffix, type RuntimeName } from './runtimes.js';
import { table } from './table.js';
import { duration, pluralize, printable } from './text.js';
import { widthOf } from './width.js';
import { shownWork, workText } from './work.js';

/** Columns that a file gets at least, however long the function's name is. */
const MIN_FILE_COLUMNS = 16;

/**
 * A table of goroutines: id, state, wait, and place, and below each what it works on; with the runtime where there are several. Files are shortened to fit
 * `columns`; function names never are.
 */
export function goroutineTable(
  goroutines: readonly PlacedGoroutine[],
  columns: number,
  nameOf: RuntimeName = ONLY_ONE,
  placeOf = asBuilt,
): string {
  const rows = goroutines.map((g) => ({
    cells: [
      ...runtimeCell(nameOf, g.runtime),
      ...[String(g.goid), stateOf(g), g.waitSinceNs === null ? '' : `${duration(g.waitSinceNs)}+`],
    ],
    loc: g.app ?? g.user ?? g.entry ?? g.current,
  }));
  const heads = [...runtimeHead(nameOf), 'GOID', 'STATE', 'WAIT'];
  const used = heads.reduce((sum, head, i) => {
    const widths = rows.map(({ cells }) => widthOf(cells[i] ?? ''));
    return sum + 2 + widths.reduce((a, b) => Math.max(a, b), head.length);
  }, 0);
  const text = table(
    [...heads, 'WHERE'],
    rows.map(({ cells, loc }) => [...cells, place(loc, columns - used, placeOf)]),
  );
  return goroutines.some(({ work }) => work.length > 0) ? withWork(text, goroutines) : text;
}

/** Adds to each row of a table of goroutines the lines on what the goroutine works on. */
function withWork(text: string, goroutines: readonly PlacedGoroutine[]): string {
  const [head = '', ...rows] = text.trimEnd().split('\n');
  const lines = rows.flatMap((row, i) => [
    row,
    ...shownWork(goroutines[i]?.work ?? []).map((work) => `    ${workText(work)}`),
  ]);
  return [head, ...lines].map((line) => `${line}\n`).join('');
}

/**
 * A group: its size, state and ids, then what its goroutines have in common. `runtime` names its runtime, or is empty;
 * `all` shows the runtime's own frames too.
 */
export function groupText(group: Group, runtime = '', all = true, placeOf = asBuilt): string {
  const states = Object.entries(group.status).map(([status, n]) => `${n} ${status}`);
  const what = group.waitReason === null ? states.join(', ') : printable(group.waitReason);
  const wait = group.maxWaitNs === null ? '' : `, for up to ${duration(group.maxWaitNs)} or longer`;
  const more = group.count > group.goids.length ? ', ...' : '';
  const head = `${pluralize(group.count, 'goroutine')} [${what}${wait}]: ${group.goids.join(', ')}${more}${runtimeSuffix(runtime)}\n`;
  const { frames, loc = null } = group;
  if (frames === undefined) return `${head}    ${loc === null ? printable(group.key) : placeText(loc, placeOf)}\n\n`;
  return `${head}${shownFrames(frames, all)
    .map((frame) => `    ${placeText(frame, placeOf)}\n`)
    .join('')}\n`;
}

/** A stack of the runtime's frames alone is shown whole. */
function shownFrames(frames: readonly Frame[], all: boolean): readonly Frame[] {
  const own = all ? frames : outsideRuntime(frames);
  return own.length === 0 ? frames : own;
}

function stateOf(g: PlacedGoroutine): string {
  return `${printable(g.waitReason ?? g.status)}${g.status === 'leaked' ? ' (leaked)' : ''}${g.torn ? ', torn' : ''}`;
}

function place(loc: Loc | null, room: number, placeOf: PlaceOf): string {
  if (loc === null) return '?';
  const func = printable(loc.func);
  const line = `:${loc.line}`;
  const left = Math.max(MIN_FILE_COLUMNS + line.length, room - widthOf(func) - 3);
  return `${func} (${placeOf(loc, left)})`;
}

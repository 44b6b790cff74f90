import Table from 'cli-table3';
import { widthOf } from './width.js';

/** Characters that cli-table3 draws between and around cells. */
const BORDERS = [
  ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
  ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'],
];

/** No borders and two spaces between columns: easy to read, and easy to use with grep and awk. */
const PLAIN = {
  chars: { ...Object.fromEntries(BORDERS.map((name) => [name, ''])), middle: '  ' },
  style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
};

/** Returns rows in aligned columns below their names; nothing where there are no rows. Lines end without spaces. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const cells = new Table({ ...PLAIN, head: [...head] });
  for (const row of rows) cells.push([...row]);
  return cells
    .toString()
    .split('\n')
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/**
 * Returns the end of a path in at most `columns`, cut at a slash and begun with `…/`. The last element is always whole,
 * even if it does not fit.
 */
export function shortPath(path: string, columns: number): string {
  if (widthOf(path) <= columns) return path;
  const parts = path.split('/');
  let shown = parts.pop() ?? '';
  for (let part = parts.pop(); part !== undefined && widthOf(`…/${part}/${shown}`) <= columns; part = parts.pop()) {
    shown = `${part}/${shown}`;
  }
  return `…/${shown}`;
}

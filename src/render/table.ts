import { padEnd, widthOf } from './width.js';

/** No borders and two spaces between columns: easy to read, and easy to use with grep and awk. */
const BETWEEN = '  ';

/** Returns rows in aligned columns below their names; nothing where there are no rows. Lines end without spaces. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const lines = [head, ...rows];
  const widths = head.map((_, column) => lines.reduce((most, row) => Math.max(most, widthOf(row[column] ?? '')), 0));
  const padded = (cell: string, column: number): string => padEnd(cell, widths[column] ?? 0);
  return lines.map((row) => `${row.map(padded).join(BETWEEN).trimEnd()}\n`).join('');
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

import Table from 'cli-table3';

/** No lines: columns two spaces apart, which a terminal, grep and awk all read well. */
const PLAIN = {
  chars: {
    ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '' },
    ...{
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '  ',
    },
  },
  style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
};

/** Rows under a head of column names, aligned; the last column is as long as it needs to be. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const made = new Table({ ...PLAIN, head: [...head] });
  for (const row of rows) made.push([...row]);
  return made
    .toString()
    .split('\n')
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/** The end of a path, cut at a slash so that it takes at most `room` characters, its last element always whole. */
export function shortPath(path: string, room: number): string {
  if (path.length <= room) return path;
  const parts = path.split('/');
  let shown = parts.pop() ?? '';
  for (let part = parts.pop(); part !== undefined && shown.length + part.length + 3 <= room; part = parts.pop()) {
    shown = `${part}/${shown}`;
  }
  return `…/${shown}`;
}

import type { ThreadReport } from '../../analyze/report/model.js';
import { shortPath, table } from './table.js';
import { printable } from './text.js';
import { widthOf } from './width.js';

const LEAST_FILE = 16;
const FIXED_COLUMNS = 44;

/** A table of threads: M, thread, state, goroutine, name, and where it stood. */
export function threadTable(threads: readonly ThreadReport[], columns: number): string {
  return table(
    ['M', 'TID', 'STATE', 'GOID', 'NAME', 'WHERE'],
    threads.map(({ m, tid, state, goid, name, frames, truncated }) => {
      const [innermost] = frames;
      const left = Math.max(LEAST_FILE, columns - FIXED_COLUMNS - widthOf(innermost?.func ?? ''));
      const where =
        innermost === undefined
          ? (truncated ?? '?')
          : `${innermost.func} (${shortPath(innermost.file, left)}${innermost.line === 0 ? '' : `:${innermost.line}`})`;
      return [
        m === null ? '-' : String(m),
        String(tid),
        state,
        goid === null ? '-' : String(goid),
        printable(name),
        printable(where),
      ];
    }),
  );
}

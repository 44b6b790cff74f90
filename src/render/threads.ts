import type { ThreadReport } from '../../analyze/report/model.js';
import { runtimeCell, runtimeHead, type RuntimeName } from './runtimes.js';
import { shortPath, table } from './table.js';
import { printable } from './text.js';
import { widthOf } from './width.js';

/** Columns that a file gets at least, however long the function's name is. */
const MIN_FILE_COLUMNS = 16;
/** Columns of everything but the function and the file, about. */
const FIXED_COLUMNS = 44;

/**
 * A table of threads: M, thread id, state, goroutine, name, and place; with the runtime where there are several. Files are
 * shortened to fit `columns`.
 */
export function threadTable(threads: readonly ThreadReport[], columns: number, nameOf: RuntimeName): string {
  return table(
    [...runtimeHead(nameOf), 'M', 'TID', 'STATE', 'GOID', 'NAME', 'WHERE'],
    threads.map(({ m, runtime, tid, state, goid, name, frames, truncated }) => {
      const [innermost] = frames;
      const left = Math.max(MIN_FILE_COLUMNS, columns - FIXED_COLUMNS - widthOf(innermost?.func ?? ''));
      const where =
        innermost === undefined
          ? (truncated ?? '?')
          : `${innermost.func} (${shortPath(innermost.file, left)}${innermost.line === 0 ? '' : `:${innermost.line}`})`;
      return [
        ...runtimeCell(nameOf, runtime),
        m === null ? '-' : String(m),
        String(tid),
        printable(state),
        goid === null ? '-' : String(goid),
        printable(name),
        printable(where),
      ];
    }),
  );
}

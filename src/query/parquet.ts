import { replaceFile } from '../../snapshots/atomic-file.js';
import { badFile } from '../../snapshots/errors.js';
import { version } from '../version.js';
import type { Database } from './database.js';
import { quote } from './dataset.js';
import { DATASET_SCHEMA } from './tables.js';

/** Rows that a reader takes at once. */
const ROW_GROUP = 20_000;

/** Writes the rows of a query to a parquet file, which is replaced in one step. Returns its size in bytes. Throws `badFile`. */
export async function writeParquet(database: Database, sql: string, path: string): Promise<number> {
  const metadata = `{gospy_schema: ${quote(DATASET_SCHEMA)}, gospy_version: ${quote(version())}}`;
  // A temporary file of DuckDB's own would take the place of the one that is there, with the mode of any file.
  const format = `FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${ROW_GROUP}, USE_TMP_FILE false, KV_METADATA ${metadata}`;
  return replaceFile(path, async (temporary) => {
    try {
      await database.run(`COPY (${sql}) TO ${quote(temporary)} (${format})`);
    } catch (cause) {
      if (cause instanceof Error && /^(IO|Fatal) Error/i.test(cause.message)) {
        const full = /No space left/i.test(cause.message) ? 'no space is left on the disk' : cause.message;
        throw badFile(`cannot write ${path}: ${full}`, { cause, hint: 'nothing was left behind' });
      }
      throw cause;
    }
  });
}

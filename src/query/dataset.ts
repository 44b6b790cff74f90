import { badFile } from '../../snapshots/errors.js';
import type { Database } from './database.js';
import { GOROUTINES } from './tables.js';

/** Columns that every version of the data set has: by them a parquet file is known to be of one. */
const NEEDED = ['goid', 'status', 'frames'];

/** Quotes text for SQL. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The files that a pattern of DuckDB's names, sorted. */
export async function filesLike(database: Database, pattern: string): Promise<string[]> {
  const rows = await database.run('SELECT file FROM glob($1) ORDER BY file', [pattern]);
  return rows.flatMap(([file]) => (typeof file === 'string' ? [file] : []));
}

/** SQL for the rows of a data set's files, with NULL for columns that they are too old to have. Throws `badFile`. */
export async function datasetSql(database: Database, files: readonly string[]): Promise<string> {
  const list = files.map(quote).join(', ');
  const source = `read_parquet([${list}], hive_partitioning = true, hive_types_autocast = false, union_by_name = true)`;
  const described = await database.run(`DESCRIBE SELECT * FROM ${source}`);
  const known = new Set(described.map(([name]) => name));
  if (!NEEDED.every((name) => known.has(name))) {
    throw badFile(`${files[0] ?? ''} is not of a data set that gospy export --format parquet writes`);
  }
  const columns = Object.entries(GOROUTINES).map(([name, type]) =>
    known.has(name) ? `TRY_CAST(${name} AS ${type}) AS ${name}` : `CAST(NULL AS ${type}) AS ${name}`,
  );
  return `SELECT ${columns.join(', ')} FROM ${source}`;
}

/** Throws `badFile` where a parquet file cannot be read. */
export async function checkParquet(database: Database, path: string): Promise<void> {
  try {
    await datasetSql(database, [path]);
    await database.run('SELECT num_rows FROM parquet_file_metadata($1)', [path]);
  } catch (cause) {
    const [what = ''] = (cause instanceof Error ? cause.message : '').split('\n');
    throw badFile(`cannot read ${path}: ${what}`, { cause });
  }
}

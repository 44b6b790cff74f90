import type { DuckDBResult, DuckDBValue } from '@duckdb/node-api';
import { table } from '../render/table.js';
import { jsonText, printable } from '../render/text.js';
import type { Output } from '../output.js';
import type { Database } from './database.js';

/** How rows are printed. */
export const RESULT_FORMATS = ['table', 'csv', 'json', 'ndjson'] as const;
export type ResultFormat = (typeof RESULT_FORMATS)[number];

/** A value that JSON has. */
type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };

/**
 * Runs SQL and writes its rows as they come; a table is as wide as its widest cells, and so held. `limit` is how many rows
 * are written at most, 0 for all. Returns true if there were more.
 */
export async function writeResult(
  database: Database,
  sql: string,
  format: ResultFormat,
  limit: number,
  output: Pick<Output, 'write'>,
): Promise<boolean> {
  const result = await database.connection.stream(sql);
  const names = result.deduplicatedColumnNames();
  const writer = WRITERS[format](output, names, result);
  await writer.begin();
  let n = 0;
  for await (const rows of result.yieldRows()) {
    for (const row of rows) {
      if (limit !== 0 && n >= limit) {
        await writer.end(true);
        return true;
      }
      await writer.row(row, n++);
    }
  }
  await writer.end(false);
  return false;
}

interface RowWriter {
  begin(): Promise<void>;
  row(row: readonly DuckDBValue[], n: number): Promise<void>;
  /** `more` is true if rows were left out. */
  end(more: boolean): Promise<void>;
}

type MakeWriter = (output: Pick<Output, 'write'>, names: readonly string[], result: DuckDBResult) => RowWriter;

const NOTHING = (): Promise<void> => Promise.resolve();

const WRITERS: Readonly<Record<ResultFormat, MakeWriter>> = {
  table(output, names) {
    const cells: string[][] = [];
    return {
      begin: NOTHING,
      row(row) {
        cells.push(row.map(cellText));
        return Promise.resolve();
      },
      async end(more) {
        const head = names.map(printable);
        await output.write(cells.length === 0 ? `${head.join('  ')}\n` : table(head, cells));
        if (more) await output.write('... there are more rows (--limit 0 prints all)\n');
      },
    };
  },
  csv: (output, names) => ({
    begin: () => output.write(`${names.map(csvCell).join()}\n`),
    row: (row) => output.write(`${row.map((value) => (value === null ? '' : csvCell(bareText(value)))).join()}\n`),
    end: NOTHING,
  }),
  json(output, names, result) {
    const types = result.columnTypes().map(String);
    const columns = names.map((name, i) => ({ name, type: types[i] ?? '' }));
    return {
      begin: () => output.write(`{"schema":"gospy.query/1","columns":${jsonText(columns)},"rows":[`),
      row: (row, n) => output.write(`${n === 0 ? '' : ','}\n${jsonText(objectOf(names, row))}`),
      end: (more) => output.write(`\n],"more":${more}}\n`),
    };
  },
  ndjson: (output, names) => ({
    begin: NOTHING,
    row: (row) => output.write(`${jsonText(objectOf(names, row))}\n`),
    end: NOTHING,
  }),
};

function objectOf(names: readonly string[], row: readonly DuckDBValue[]): Record<string, Plain> {
  return Object.fromEntries(names.map((name, i) => [name, plain(row[i] ?? null)]));
}

function cellText(value: DuckDBValue): string {
  return value === null ? '' : printable(bareText(value));
}

function bareText(value: DuckDBValue): string {
  const bare = plain(value);
  return typeof bare === 'object' ? jsonText(bare) : String(bare);
}

/** As RFC 4180 has it, but for the ends of lines. */
function csvCell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Lists, structs and maps become arrays and objects; numbers that JSON's readers would round, and all other types, text. */
function plain(value: DuckDBValue): Plain {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
  }
  if ('items' in value) return value.items.map(plain);
  if ('entries' in value) {
    const pairs: readonly (readonly [unknown, DuckDBValue])[] = Array.isArray(value.entries)
      ? value.entries.map(({ key, value: of }) => [key, of])
      : Object.entries(value.entries);
    return Object.fromEntries(pairs.map(([key, of]) => [String(key), plain(of)]));
  }
  return String(value);
}

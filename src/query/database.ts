import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBAppender, DuckDBConnection, DuckDBInstance, DuckDBValue } from '@duckdb/node-api';
import { GospyError, usageError } from '../../snapshots/errors.js';
import { LOADED, viewsSql, type ColumnType, type Columns, type LoadedTable } from './tables.js';

/** A value of a column in a table of {@link LOADED}. */
export type Cell = string | number | boolean | null;

/** DuckDB in memory, with empty tables. What does not fit into its memory goes to a temporary folder. */
export class Database {
  readonly connection: DuckDBConnection;
  readonly #instance: DuckDBInstance;
  readonly #folder: string;
  /** What rows are added to: opened for many targets, because each flush of few rows costs as much as one of many. */
  readonly #open = new Map<LoadedTable, Rows>();

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection, folder: string) {
    this.#instance = instance;
    this.connection = connection;
    this.#folder = folder;
  }

  /** `memory` is what DuckDB may use, in bytes. Throws a usage error where DuckDB is not installed for this machine. */
  static async open(memory: number): Promise<Database> {
    const duckdb = await loadDuckDb();
    const folder = mkdtempSync(join(tmpdir(), 'gospy-query-'));
    try {
      const instance = await duckdb.DuckDBInstance.create(':memory:', {
        memory_limit: `${Math.ceil(memory / 1e6)}MB`,
        temp_directory: folder,
        autoinstall_known_extensions: 'false',
        autoload_known_extensions: 'false',
        allow_community_extensions: 'false',
      });
      const database = new Database(instance, await instance.connect(), folder);
      await database.#prepare();
      return database;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async #prepare(): Promise<void> {
    await this.run("SET TimeZone = 'UTC'");
    await this.run('SET preserve_insertion_order = true');
    for (const [name, columns] of Object.entries(LOADED)) {
      await this.run(`CREATE TABLE ${name} (${Object.entries(columns).map(([column, type]) => `${column} ${type}`).join()})`); // prettier-ignore
    }
    await this.run('CREATE TABLE loaded_stacks (snap INTEGER, stack INTEGER, frames INTEGER[])');
  }

  /** Makes the views. `dataset` is a query for rows in parquet files, or null. */
  async createViews(dataset: string | null): Promise<void> {
    for (const sql of viewsSql(dataset)) await this.run(sql);
  }

  /** Runs SQL of gospy's own. */
  async run(sql: string, values?: DuckDBValue[]): Promise<DuckDBValue[][]> {
    return (await this.connection.run(sql, values)).getRows();
  }

  /** What adds rows to a table. They are in it after {@link flush}. */
  async appendTo(table: LoadedTable): Promise<Rows> {
    let rows = this.#open.get(table);
    if (rows === undefined) {
      rows = new Rows(await this.connection.createAppender(table), LOADED[table]);
      this.#open.set(table, rows);
    }
    return rows;
  }

  /** Puts all rows that were added into their tables. */
  flush(): void {
    for (const rows of this.#open.values()) rows.close();
    this.#open.clear();
  }

  /** Ends the query that runs. */
  interrupt(): void {
    this.connection.interrupt();
  }

  close(): void {
    this.connection.closeSync();
    this.#instance.closeSync();
    this.removeFolder();
  }

  /** Removes the temporary folder: for when gospy is about to be ended by a signal. */
  removeFolder(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function loadDuckDb(): Promise<typeof import('@duckdb/node-api')> {
  try {
    return await import('@duckdb/node-api');
  } catch (cause) {
    throw usageError('DuckDB, which runs SQL and writes parquet, is not installed for this system and CPU', {
      hint: 'install gospy with its dependencies: npm install; no other command needs it',
      cause,
    });
  }
}

type Append = (appender: DuckDBAppender, value: Cell) => void;

const APPEND: Readonly<Partial<Record<ColumnType, Append>>> = {
  BIGINT: (appender, value) => appender.appendBigInt(BigInt(value as number)),
  INTEGER: (appender, value) => appender.appendInteger(value as number),
  BOOLEAN: (appender, value) => appender.appendBoolean(value as boolean),
};

/** Rows that an appender holds, outside of the memory that DuckDB limits. */
const MOST_HELD = 20_000;

/** Appends rows to a table. */
class Rows {
  readonly #appender: DuckDBAppender;
  readonly #appends: readonly Append[];
  #held = 0;

  constructor(appender: DuckDBAppender, columns: Columns) {
    this.#appender = appender;
    this.#appends = Object.values(columns).map(
      (type) => APPEND[type] ?? ((appender, value) => appender.appendVarchar(value as string)),
    );
  }

  /** Adds a row: its values in the order of the columns. */
  add(row: readonly Cell[]): void {
    const appender = this.#appender;
    for (let i = 0; i < this.#appends.length; i++) {
      const value = row[i] ?? null;
      if (value === null) appender.appendNull();
      else this.#appends[i]?.(appender, value);
    }
    appender.endRow();
    if (++this.#held < MOST_HELD) return;
    appender.flushSync();
    this.#held = 0;
  }

  close(): void {
    this.#appender.closeSync();
  }
}

/** An error of DuckDB's about the SQL that it was given, as a usage error; others as they are. */
export function sqlError(error: unknown): unknown {
  if (error instanceof GospyError || !(error instanceof Error)) return error;
  const [what = ''] = error.message.split('\n\n');
  return usageError(`the query failed: ${what}`, {
    hint: '`gospy query --examples` shows tables and queries',
    cause: error,
  });
}

import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Programs } from '../../analyze/program.js';
import { checkOutput } from '../../snapshots/atomic-file.js';
import { fileError, systemCode } from '../../snapshots/file-errors.js';
import { Database } from '../query/database.js';
import { quote } from '../query/dataset.js';
import { Loader, type Loading } from '../query/load.js';
import { writeParquet } from '../query/parquet.js';
import { partitionPath, type Identity, type Partition } from '../query/partitions.js';
import { GOROUTINES, LOADED_GOROUTINES } from '../query/tables.js';

/** What to write. */
export interface ParquetOptions {
  /** The file; with partitions, the folder of the data set. */
  readonly output: string;
  readonly partitionBy: readonly Partition[] | null;
  /** What DuckDB may use, in bytes. */
  readonly memory: number;
}

/**
 * Writes the goroutines of targets, a row each, to one parquet file, or to a file for each capture in a data set. A data set
 * only gets new files, or a file again whose capture it has.
 */
export class ParquetExport {
  readonly #database: Database;
  readonly #loader: Loader;
  readonly #options: ParquetOptions;
  /** Folders that are made for a file that is not whole yet. */
  #made: readonly string[] = [];
  #files = 0;
  #bytes = 0;

  private constructor(database: Database, options: ParquetOptions) {
    this.#database = database;
    this.#loader = new Loader(database);
    this.#options = options;
  }

  /** Throws `badFile` where the output cannot be written, and as Database does. */
  static async open(options: ParquetOptions): Promise<ParquetExport> {
    if (options.partitionBy === null) checkOutput(options.output);
    return new ParquetExport(await Database.open(options.memory), options);
  }

  /** Adds a target. In a data set its files are whole when this returns. */
  async add(programs: Programs, loading: Loading): Promise<void> {
    const identities = await this.#loader.load(programs, loading);
    const { partitionBy } = this.#options;
    if (partitionBy === null) return;
    await this.#loader.finish();
    for (const identity of identities) await this.#writePartition(partitionBy, identity);
    await this.#loader.clear();
  }

  async #writePartition(by: readonly Partition[], identity: Identity): Promise<void> {
    const path = partitionPath(this.#options.output, by, identity);
    this.#made = makeFolder(dirname(path));
    const columns = Object.keys(GOROUTINES).filter((name) => !(by as readonly string[]).includes(name));
    const sql = `SELECT ${columns.join(', ')} FROM (${LOADED_GOROUTINES}) WHERE snapshot = ${quote(identity.snapshot)}`;
    try {
      this.#bytes += await writeParquet(this.#database, sql, path);
      this.#made = [];
    } finally {
      this.#removeMade();
    }
    this.#files++;
  }

  /** Writes what is not written yet. */
  async finish(): Promise<{ readonly files: number; readonly bytes: number }> {
    if (this.#options.partitionBy === null) {
      await this.#loader.finish();
      this.#bytes = await writeParquet(this.#database, LOADED_GOROUTINES, this.#options.output);
      this.#files = 1;
    }
    return { files: this.#files, bytes: this.#bytes };
  }

  #removeMade(): void {
    for (const folder of this.#made) {
      try {
        rmdirSync(folder);
      } catch {
        // Another capture has been added to it meanwhile.
        return;
      }
    }
  }

  /** Removes temporary files, and folders without files: for when gospy is about to be ended by a signal. */
  removeFolder(): void {
    this.#removeMade();
    this.#database.removeFolder();
  }

  close(): void {
    this.#database.close();
  }
}

/** Makes a folder and those above it. Returns those that were not there, the innermost first. Throws `badFile`. */
function makeFolder(folder: string): string[] {
  try {
    const first = mkdirSync(folder, { recursive: true });
    const made: string[] = [];
    if (first === undefined) return made;
    for (let at = resolve(folder); at.length >= resolve(first).length; at = dirname(at)) made.push(at);
    return made;
  } catch (error) {
    throw systemCode(error) === null ? error : fileError(`cannot make the folder ${folder}`, error);
  }
}

import { existsSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { badFile, GospyError } from '../../snapshots/errors.js';
import type { DecoderSpec } from '../../snapshots/work.js';
import { chooseRuntime } from '../targets/choose-runtime.js';
import { openTarget, takesDecoders } from '../targets/open-target.js';
import { damageError, noDecoders, type Opening, type TargetSpec } from '../targets/target.js';
import type { Database } from './database.js';
import { checkParquet, datasetSql, filesLike } from './dataset.js';
import { Loader } from './load.js';

/** What is asked about. */
export interface Asked {
  /** Snapshots, cores, parquet files, folders of them, and patterns such as `snaps/*.gsp`. */
  readonly names: readonly string[];
  readonly pids: readonly number[];
  readonly bin?: string | undefined;
  readonly debugDir?: readonly string[] | undefined;
  readonly runtime?: string | undefined;
  readonly service?: string | undefined;
  /** Decoders for what goroutines work on, of processes and cores. */
  readonly decoders: readonly DecoderSpec[];
}

/** Told of what cannot be read; throws what should end all. */
type OnUnreadable = (error: GospyError) => void;

/** Loads all that is asked about and makes the views. Throws `badFile` where nothing of it can be read. */
export async function loadSources(
  database: Database,
  asked: Asked,
  opening: Opening,
  onUnreadable: OnUnreadable,
): Promise<void> {
  const loader = new Loader(database);
  const { bin, debugDir, runtime, service, decoders } = asked;
  const failures: GospyError[] = [];
  let readable = 0;
  let decoded = 0;
  const attempt = async (load: () => Promise<void>): Promise<void> => {
    try {
      await load();
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
      failures.push(error);
      onUnreadable(error);
    }
  };
  const loadTarget = async (spec: TargetSpec, path: string | null): Promise<void> => {
    const isDecoded = decoders.length > 0 && takesDecoders(spec);
    const target = await openTarget(spec, isDecoded ? { ...opening, decoders } : opening);
    try {
      readable++;
      if (isDecoded) decoded++;
      await loader.load(chooseRuntime(target.programs, runtime), { path, service });
      const damage = damageError(target.damage);
      if (damage !== null) onUnreadable(damage);
    } finally {
      target.close();
    }
  };
  const parquet: string[] = [];
  /** Each file is read once, also if several names stand for it. */
  const seen = new Set<string>();
  for (const name of asked.names) {
    await attempt(async () => {
      for (const path of await expand(database, name)) {
        const file = existsSync(path) ? realpathSync(path) : path;
        if (seen.has(file)) continue;
        seen.add(file);
        await attempt(async () => {
          if (!path.endsWith('.parquet')) return loadTarget({ file: path, bin, debugDir }, path);
          await checkParquet(database, path);
          readable++;
          parquet.push(path);
        });
      }
    });
  }
  for (const pid of asked.pids) await attempt(() => loadTarget({ pid, bin }, null));
  const [first] = failures;
  if (first !== undefined && readable === 0) throw first;
  if (decoders.length > 0 && decoded === 0) throw noDecoders('none of this is a process or a core: it');
  await loader.finish();
  await database.createViews(parquet.length === 0 ? null : await datasetSql(database, parquet));
}

/** The files that a name stands for. Throws `badFile` where there are none. */
async function expand(database: Database, name: string): Promise<string[]> {
  const stat = statSync(name, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) {
    const found = await Promise.all(['*.parquet', '*.gsp'].map((end) => filesLike(database, join(name, '**', end))));
    const files = found.flat();
    if (files.length === 0) throw badFile(`${name} is a folder without snapshots and parquet files`);
    return files;
  }
  if (stat !== undefined || !/[*?[]/.test(name)) return [name];
  const files = await filesLike(database, name);
  if (files.length === 0) throw badFile(`there is no file like ${name}`);
  return files;
}

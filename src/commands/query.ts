import { existsSync } from 'node:fs';
import { Argument, Option, type Command } from 'commander';
import { ExitCode, GospyError, usageError } from '../../snapshots/errors.js';
import { onInterrupt } from '../interrupt.js';
import { decodeOption, readDecoders } from '../decoders.js';
import { ReaderGone, type Io } from '../io.js';
import { binOption, debugDirOption, examples, limitOption, memoryOption, parsePid, runtimeOption } from '../options.js';
import type { Output } from '../output.js';
import type { Database } from '../query/database.js';
import type { ResultFormat } from '../query/results.js';
import type { Asked } from '../query/sources.js';
import { printable, size } from '../render/text.js';
import { packageFile } from '../version.js';
import { writeTo } from './write-to.js';

interface QueryOptions extends Omit<Asked, 'names' | 'pids' | 'decoders'> {
  readonly decode?: string;
  readonly pid?: readonly number[];
  readonly format: ResultFormat | 'parquet';
  readonly output?: string;
  readonly limit?: number;
  readonly memory: number;
  readonly strict?: true;
  readonly examples?: true;
}

/** Rows of a table unless --limit says otherwise. */
const TABLE_LIMIT = 200;
/** What `--examples` asks without a target. */
const SAMPLE = 'snapshots/samples/queue.gsp';

/** `gospy query`: SQL over any number of targets. */
export function define(command: Command, io: Io): void {
  command
    .summary('SQL over any number of snapshots, cores, processes and data sets')
    .description(
      'Runs SQL (DuckDB) over the tables snapshots, goroutines, frames, labels, waits, work, ps and threads. A target is a snapshot, ' +
        'a core, a parquet file of `export --format parquet`, a folder of these, or a pattern. The first argument is SQL ' +
        'if it has a space in it; without SQL there is a prompt, or standard input is read.',
    )
    .addArgument(new Argument('[SQL]', 'a statement'))
    .addArgument(new Argument('[TARGET...]', 'what to ask about'))
    .addOption(
      new Option('--pid <N>', 'ask about the live process N; may be given again').argParser(
        (text, before: readonly number[] | undefined) => [...(before ?? []), parsePid(text)],
      ),
    )
    .addOption(binOption())
    .addOption(debugDirOption())
    .addOption(runtimeOption())
    .addOption(decodeOption())
    .addOption(
      new Option('--format <FORMAT>', 'how rows are written')
        .choices(['table', 'csv', 'json', 'ndjson', 'parquet'])
        .default('table'),
    )
    .addOption(new Option('--json', 'the same as --format json').implies({ format: 'json' }))
    .option('-o, --output <FILE>', 'write the rows to a file; parquet needs one')
    .addOption(limitOption(`print at most N rows, 0 for all (table: ${TABLE_LIMIT})`))
    .addOption(memoryOption())
    .option('--service <NAME>', 'what the program is called; the name of its file unless given')
    .option('--strict', 'end with exit code 7 if something cannot be read; else it is told and left out')
    .option('--examples', 'print questions, their SQL, and the answers for the targets (a sample if there are none)')
    .action((first: string | undefined, rest: readonly string[], options: QueryOptions) =>
      query(io, [...(first === undefined ? [] : [first]), ...rest], options),
    );
  examples(command, [
    "gospy query 'SELECT wait_reason, count(*) FROM goroutines GROUP BY ALL' snap.gsp",
    "gospy query 'SELECT host, count(*) FROM goroutines GROUP BY host' --format csv dataset/ 'today/*.gsp'",
  ]);
}

async function query(io: Io, args: readonly string[], options: QueryOptions): Promise<void> {
  const [first = ''] = args;
  const sql = options.examples !== true && /\s/.test(first) && !existsSync(first) ? first : null;
  const given = sql === null ? args : args.slice(1);
  const pids = options.pid ?? [];
  const isSample = options.examples === true && given.length === 0 && pids.length === 0;
  const names = isSample ? [packageFile(SAMPLE)] : given;
  if (names.length === 0 && pids.length === 0) {
    throw usageError('no target is given', {
      hint: 'name snapshots, cores, folders or patterns, or processes with --pid',
    });
  }
  if (options.format === 'parquet' && options.output === undefined) {
    throw usageError('parquet is written to a file: name it with -o');
  }
  const [{ Database }, { loadSources }, { removeUnfinished }] = await Promise.all([
    import('../query/database.js'),
    import('../query/sources.js'),
    import('../../snapshots/atomic-file.js'),
  ]);
  const decoders = await readDecoders(options.decode);
  const database = await Database.open(options.memory);
  const forget = onInterrupt(() => {
    removeUnfinished();
    database.removeFolder();
  });
  try {
    const asked: Asked = { ...options, names, pids, decoders };
    await loadSources(database, asked, { progress: io.progress }, (error) => {
      if (options.strict === true) throw new GospyError(ExitCode.partial, error.message, { cause: error });
      io.note(`gospy: warning: left out: ${error.message}`);
    });
    if (options.examples === true) await printExamples(io, database);
    else if (sql === null) await ask(io, database, options);
    else await run(io, database, sql, options);
  } finally {
    forget();
    database.close();
  }
}

/** Reads statements from a terminal or a pipe. */
async function ask(io: Io, database: Database, options: QueryOptions): Promise<void> {
  const { prompt } = await import('../query/prompt.js');
  await prompt(database, {
    write: (text) => io.write(text),
    end: () => io.end(),
    note: (line) => io.note(line),
    run: (sql) => run(io, database, sql, options),
    examples: () => printExamples(io, database),
  });
}

async function run(io: Io, database: Database, sql: string, options: QueryOptions): Promise<void> {
  const { sqlError } = await import('../query/database.js');
  try {
    await writeRows(io, database, sql, options);
  } catch (error) {
    throw error instanceof ReaderGone ? error : sqlError(error);
  }
}

async function writeRows(io: Io, database: Database, sql: string, options: QueryOptions): Promise<void> {
  const { format, output: path } = options;
  if (format === 'parquet') {
    const { writeParquet } = await import('../query/parquet.js');
    const bytes = await writeParquet(database, sql.replace(/[\s;]+$/, ''), path ?? '');
    await io.write(`${printable(path ?? '')}: ${size(bytes)}\n`);
    return;
  }
  const { writeResult } = await import('../query/results.js');
  const limit = options.limit ?? (format === 'table' ? TABLE_LIMIT : 0);
  const fill = async (output: Output): Promise<void> => {
    await writeResult(database, sql, format, limit, output);
  };
  await writeTo(io, path, fill);
}

async function printExamples(io: Io, database: Database): Promise<void> {
  const [{ EXAMPLES }, { writeResult }] = await Promise.all([
    import('../query/examples.js'),
    import('../query/results.js'),
  ]);
  let separator = '';
  for (const { question, sql } of EXAMPLES) {
    await io.write(`${separator}-- ${question}\n${sql};\n\n`);
    await writeResult(database, sql, 'table', 0, io);
    separator = '\n';
  }
}

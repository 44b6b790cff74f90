import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import { selectsAll } from '../../analyze/report/selection.js';
import { usageError } from '../../snapshots/errors.js';
import type { Source } from '../export/model.js';
import { onInterrupt } from '../interrupt.js';
import type { Io } from '../io.js';
import type { Output } from '../output.js';
import { namesOf } from '../render/runtimes.js';
import { examples, memoryOption, takesTargets } from '../options.js';
import { PARTITIONS, type Partition } from '../query/partitions.js';
import { pluralize, printable, size } from '../render/text.js';
import { selectionOf, selectsGoroutines, type SelectionOptions } from '../selection-options.js';
import { writePage } from './export-html.js';
import { writeTo } from './write-to.js';
import { decodeOption } from '../decoders.js';
import { decodersWhereTaken, withPrograms, withTargets, type TargetOptions } from './with-target.js';

interface ExportOptions extends TargetOptions, SelectionOptions {
  readonly format: Format;
  readonly output?: string;
  readonly merge?: true;
  readonly forStore?: true;
  readonly labels?: true;
  readonly partitionBy?: readonly Partition[];
  readonly service?: string;
  readonly memory: number;
}

/** Writes goroutines; `note` is called for what has to be left out. */
type Write = (
  output: Output,
  source: Source,
  options: ExportOptions & { note: (line: string) => void },
) => Promise<void>;

/** What writes each format to a file or a pipe, loaded when it is asked for. */
const STREAMED = {
  pprof: async (output, source, { merge = false, forStore = false, note }) =>
    (await import('../export/pprof.js')).exportPprof(output, source, { merge, forStore, note }),
  folded: async (output, source) => (await import('../export/folded.js')).exportFolded(output, source),
  speedscope: async (output, source) => (await import('../export/speedscope.js')).exportSpeedscope(output, source),
  traceback: async (output, source, { labels = false }) =>
    (await import('../export/traceback.js')).exportTraceback(output, source, labels),
  json: async (output, source) => (await import('../export/json.js')).exportJson(output, source),
  ndjson: async (output, source) => (await import('../export/json.js')).exportNdjson(output, source),
  dot: async (output, source) => (await import('../export/dot.js')).exportDot(output, source),
} as const satisfies Record<string, Write>;

type Streamed = keyof typeof STREAMED;
type Format = Streamed | 'parquet' | 'html' | 'core';
const FORMATS: readonly string[] = [...Object.keys(STREAMED), 'parquet', 'html', 'core'];

/** Options that only one format takes. */
const OF_ONE_FORMAT = {
  merge: 'pprof',
  forStore: 'pprof',
  labels: 'traceback',
  partitionBy: 'parquet',
  service: 'parquet',
} as const;

/** `gospy export`: writes a target in the format of another tool. */
export function define(command: Command, io: Io): void {
  selectsGoroutines(takesTargets(command))
    .summary('writes a target in a format that another tool reads')
    .description(
      'pprof: a profile for `go tool pprof`, one sample a goroutine. folded: a line a stack, for flame graphs. speedscope: ' +
        "a file for speedscope.app. traceback: the text of Go's own traceback. json, ndjson: as `goroutines --json`. dot: who " +
        'waits for whom, for Graphviz. parquet: a row a goroutine, of one target or many, or a data set of them. html: one ' +
        'page that any browser opens, without a network; of two targets, it compares them. core: an ELF core that ' +
        '`dlv core`, gdb and viewcore open together with the executable, with the same goroutines and stacks. They go to ' +
        'standard output, or to FILE, which is replaced in one step or not at all.',
    )
    .addOption(new Option('--format <FORMAT>', 'the format').choices(FORMATS).makeOptionMandatory())
    .option('-o, --output <FILE>', 'the file to write; with --partition-by, the folder')
    .option('--merge', 'pprof: one sample for goroutines with the same stack and labels, without their ids')
    .option('--for-store', 'pprof: merged, within what Pyroscope and Parca take by default')
    .option('--labels', 'traceback: with pprof labels, as Go 1.27 prints them and older readers do not take them')
    .addOption(
      new Option(
        '--partition-by <NAMES>',
        'parquet: a file for each capture, in folders by service, date and host: service=shop/date=2026-11-26/',
      ).argParser(parsePartitions),
    )
    .option('--service <NAME>', 'parquet: what the program is called; the name of its file unless given')
    .addOption(decodeOption())
    .addOption(memoryOption())
    .action((files: readonly string[], options: ExportOptions) => {
      checkOptions(options);
      const { format } = options;
      if (format === 'parquet') return writeRows(io, files, options);
      const [file, second, third] = files;
      if (format === 'html' && third === undefined) return writePage(io, file, second, options);
      if (format === 'html') throw usageError(`a page is of two targets at most, and '${third}' is another`);
      if (second !== undefined) throw usageError(`--format ${format} is of one target, and '${second}' is another`);
      return withPrograms(io, file, options, (programs) =>
        format === 'core' ? writeCore(io, programs, options.output) : writeStreamed(io, programs, format, options),
      );
    });
  examples(command, [
    'gospy export snap.gsp --format pprof -o goroutines.pb.gz && go tool pprof -top goroutines.pb.gz',
    'gospy export --pid 4711 --format html -o page.html',
  ]);
}

/** Throws a usage error for an option that the format does not take. */
function checkOptions(options: ExportOptions): void {
  for (const [option, format] of Object.entries(OF_ONE_FORMAT)) {
    const name = `--${option.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
    if (options[option as keyof typeof OF_ONE_FORMAT] !== undefined && options.format !== format) {
      throw usageError(`${name} is an option of --format ${format}`);
    }
  }
  if (options.decode !== undefined && options.format === 'core') {
    throw usageError('--format core does not take --decode');
  }
  if (options.format === 'core' && !selectsAll(selectionOf(options))) {
    throw usageError('a core is of the whole process: it takes no selection of goroutines');
  }
}

/** Writes a format to the file that is named, or else to standard output. */
async function writeStreamed(io: Io, programs: Programs, format: Streamed, options: ExportOptions): Promise<void> {
  const [{ queryOf }, { warningsOf }] = await Promise.all([
    import('../listing.js'),
    import('../../analyze/report/all-runtimes.js'),
  ]);
  const write: Write = STREAMED[format];
  const source = { programs, query: queryOf(options) };
  const notes: string[] = [];
  const note = (line: string): void => void notes.push(line);
  const fill = (output: Output): Promise<void> => write(output, source, { ...options, note });
  if (options.output === undefined && format === 'pprof' && io.isTerminal) {
    throw usageError('a profile is no text for a terminal', { hint: 'name a file with -o, or send it into a pipe' });
  }
  await writeTo(io, options.output, fill);
  for (const line of notes) io.note(`gospy: ${line}`);
  io.warnings(warningsOf(programs), namesOf(programs));
}

/** The columns that `--partition-by` names. */
function parsePartitions(text: string): Partition[] {
  return text.split(',').map((name) => {
    const known = PARTITIONS.find((partition) => partition === name);
    if (known === undefined) throw new InvalidArgumentError(`The names are ${PARTITIONS.join(', ')}.`);
    return known;
  });
}

/** Writes goroutines of all targets to a parquet file, or a file for each capture below a folder. */
async function writeRows(io: Io, files: readonly string[], options: ExportOptions): Promise<void> {
  const { output, partitionBy, service, pid, memory } = options;
  if (output === undefined) throw usageError('parquet is written to a file: name it with -o');
  const named = decodersWhereTaken([
    ...files.map((file) => ({ ...options, file, pid: undefined })),
    ...(pid === undefined && files.length > 0 ? [] : [{ ...options, file: undefined }]),
  ]);
  const [{ ParquetExport }, { warningsOf }, { removeUnfinished }] = await Promise.all([
    import('../export/parquet.js'),
    import('../../analyze/report/all-runtimes.js'),
    import('../../snapshots/atomic-file.js'),
  ]);
  const parquet = await ParquetExport.open({ output, partitionBy: partitionBy ?? null, memory });
  const forget = onInterrupt(() => {
    removeUnfinished();
    parquet.removeFolder();
  });
  try {
    for (const target of named) {
      await withTargets(io, [target], async ([programs]) => {
        const loading = { path: target.file ?? null, service, selection: selectionOf(options) };
        await parquet.add(programs, loading);
        io.warnings(warningsOf(programs), namesOf(programs));
      });
    }
    const { files, bytes } = await parquet.finish();
    const into = files === 1 ? '' : ` in ${pluralize(files, 'file')}`;
    await io.write(`${printable(output)}: ${size(bytes)}${into}\n`);
  } finally {
    forget();
    parquet.close();
  }
}

/** Writes a core and says how to open it. */
async function writeCore(io: Io, programs: Programs, path: string | undefined): Promise<void> {
  if (path === undefined) throw usageError('a core is written to a file: name it with -o');
  const [{ exportCore }, { removeUnfinished }, { warningsOf }] = await Promise.all([
    import('../export/core.js'),
    import('../../snapshots/atomic-file.js'),
    import('../../analyze/report/all-runtimes.js'),
  ]);
  const forget = onInterrupt(removeUnfinished);
  const { bytesWritten, threads, executable } = await exportCore(programs[0], path).finally(forget);
  await io.write(
    `${printable(path)}: ${size(bytesWritten)}, ${pluralize(threads, 'thread')}\n` +
      `Open it with the executable: dlv core ${printable(executable)} ${printable(path)}\n`,
  );
  io.warnings(warningsOf(programs), namesOf(programs));
}

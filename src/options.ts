import { Argument, InvalidArgumentError, Option, type Command } from 'commander';

/** pids are positive and fit a C int. */
const PID_LIMIT = 2 ** 31;
/** More than any machine has. */
const MOST_MB = 9_999_999;

/** `--pid N`: a number. */
export function pidOption(description: string): Option {
  return new Option('--pid <N>', description).argParser(parsePid);
}

export function parsePid(text: string): number {
  const pid = parseWhole(text);
  if (pid === null || pid === 0 || pid >= PID_LIMIT) {
    throw new InvalidArgumentError('A process id is a whole number above 0.');
  }
  return pid;
}

/** `--limit N`: a number, where 0 means all; `initial` is the default. */
export function limitOption(description: string, initial?: number): Option {
  return new Option('--limit <N>', description).default(initial).argParser((text) => {
    const limit = parseWhole(text);
    if (limit === null) throw new InvalidArgumentError('It takes a whole number; 0 means all.');
    return limit;
  });
}

export function jsonOption(): Option {
  return new Option('--json', 'print one JSON document');
}

/** `--max-heap MB`: megabytes of the heap that may hold pointers. */
export function maxHeapOption(): Option {
  return new Option('--max-heap <MB>', 'do without the proof if more of the heap than this may hold pointers')
    .default(1024)
    .argParser((text) => {
      const mb = parseWhole(text) ?? 0;
      if (mb <= 0 || mb > MOST_MB) throw new InvalidArgumentError('It takes megabytes, a whole number above 0.');
      return mb;
    });
}

/** `--bin FILE`: the executable of the target. */
export function binOption(): Option {
  return new Option(
    '--bin <FILE>',
    'its executable or Go library, or another build of the same source, such as one with symbols; others are refused',
  );
}

/** `--debug-dir DIR`, which may be given again: a list of folders. */
export function debugDirOption(): Option {
  return new Option(
    '--debug-dir <DIR>',
    'for cores: a folder of executables, by build id or by path; may be given again',
  ).argParser((folder: string, before: string[] | undefined) => [...(before ?? []), folder]);
}

/** `--source-root DIR`: a checkout of the program's source. */
export function sourceRootOption(): Option {
  return new Option(
    '--source-root <DIR>',
    "name files as they are in this checkout of the program's module, where text says file:line",
  );
}

/** `--runtime FILE|N`: one of several Go runtimes in a process. */
export function runtimeOption(): Option {
  return new Option(
    '--runtime <FILE|N>',
    'if the process has several Go runtimes, as with Go libraries: only that in this file, or of this number',
  );
}

const SIZES: Readonly<Record<string, number>> = { K: 1e3, M: 1e6, G: 1e9 };
const DEFAULT_MEMORY = 1e9;

/** `--memory SIZE`: a number of bytes. */
export function memoryOption(): Option {
  return new Option('--memory <SIZE>', 'what DuckDB, which runs SQL and writes parquet, may use: 500M, 4G')
    .argParser(parseSize)
    .default(DEFAULT_MEMORY, '1G');
}

/** `500M`, `4G` or a number of bytes. */
function parseSize(text: string): number {
  const [, number = '', unit = ''] = /^(\d{1,15})([KMG]?)B?$/i.exec(text) ?? [];
  const bytes = Number(number) * (SIZES[unit.toUpperCase()] ?? 1);
  if (bytes === 0) throw new InvalidArgumentError('A size is like 500M or 4G.');
  return bytes;
}

/** Adds what {@link takesTarget} does, for any number of files. */
export function takesTargets(command: Command): Command {
  return withTargetOptions(command.addArgument(new Argument('[TARGET...]', 'a .gsp snapshot or an ELF core')));
}

/** Adds what every reading command takes: `[TARGET]` or `--pid`, `--bin`, `--debug-dir` and `--runtime`. */
export function takesTarget(command: Command): Command {
  return withTargetOptions(command.addArgument(new Argument('[TARGET]', 'a .gsp snapshot or an ELF core')));
}

function withTargetOptions(command: Command): Command {
  return command
    .addOption(pidOption('read the live process N instead of a file'))
    .addOption(binOption())
    .addOption(debugDirOption())
    .addOption(runtimeOption());
}

/** Adds two examples at the end of the help. */
export function examples(command: Command, lines: readonly [string, string]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`);
}

/** Returns null unless `text` is a whole number of at most 15 digits. */
function parseWhole(text: string): number | null {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

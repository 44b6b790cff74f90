import { InvalidArgumentError, Option, type Command } from 'commander';
import { ExitCode, GospyError, usageError } from '../../snapshots/errors.js';
import type { WriteOptions } from '../../snapshots/gsp/write.js';
import { VALUE_LEVELS, type ValueLevel } from '../../snapshots/work.js';
import type { CaptureMode, CaptureReport } from '../../capture/capture.js';
import type { CoreSnapshotReport } from '../targets/core-to-snapshot.js';
import { decodeOption, readDecoders } from '../decoders.js';
import { onInterrupt } from '../interrupt.js';
import type { Io } from '../io.js';
import { runtimeNames } from '../render/runtimes.js';
import { binOption, debugDirOption, examples, jsonOption, maxHeapOption, pidOption } from '../options.js';
import { captureText } from '../render/capture.js';
import { captureOptions, openBinary } from '../targets/live.js';

interface CaptureCommandOptions {
  readonly decode?: string;
  readonly pid?: number;
  readonly core?: string;
  readonly output: string;
  readonly mode: CaptureMode;
  readonly nonBlocking?: true;
  readonly budget?: number;
  readonly leaks?: true;
  readonly maxHeap: number;
  readonly values: ValueLevel;
  readonly bin?: string;
  readonly debugDir?: readonly string[];
  readonly strict?: true;
  readonly json?: true;
}

/** In place of a file: standard output. */
const PIPE = '-';
const MODES: readonly CaptureMode[] = ['stop', 'clone', 'live'];

/** `gospy capture`: writes a snapshot of a live process, or of a core. */
export function define(command: Command, io: Io): void {
  command
    .summary('stops a process for about a millisecond and writes a snapshot of it')
    .description(
      'Copies what every goroutine of a running Go process is doing into a snapshot, from which the other commands ' +
        'answer later, on any machine. The process runs on as before, even if gospy is killed in the middle. FILE is ' +
        'replaced in one step or not at all; - is standard output, for a pipe.',
    )
    .addOption(pidOption('the process'))
    .addOption(
      new Option('--core <FILE>', 'make the snapshot from an ELF core instead of a process').conflicts([
        'pid',
        'nonBlocking',
      ]),
    )
    .requiredOption('-o, --output <FILE>', 'the snapshot to write')
    .addOption(
      new Option(
        '--mode <MODE>',
        'stop: all threads stand still while the copy is made; clone: they stand still while the kernel forks a ' +
          'frozen copy of the process, which is read and ended (memory that the process writes meanwhile is copied by ' +
          'the kernel); live: nothing is stopped, and goroutines that moved while they were read are marked',
      )
        .choices(MODES)
        .default('stop'),
    )
    .option('--non-blocking', 'the same as --mode live')
    .addOption(
      new Option(
        '--budget <MS>',
        'let the process go after this many milliseconds, whatever is still missing: the snapshot is then partial and says so',
      ).argParser(milliseconds),
    )
    .option(
      '--leaks',
      'prove which blocked goroutines nothing can ever wake, by marking the heap of a clone (--mode clone), or of a whole ' +
        'core: the snapshot holds the verdicts, and nothing of the heap',
    )
    .addOption(maxHeapOption())
    .addOption(
      new Option(
        '--values <LEVEL>',
        'what to keep of the values that goroutines work on. shape: types, addresses and numbers, paths without queries, SQL ' +
          'without literals, no other string; full: strings up to 256 bytes too; none: nothing',
      )
        .choices(VALUE_LEVELS)
        .default('shape'),
    )
    .addOption(decodeOption())
    .addOption(binOption())
    .addOption(debugDirOption())
    .option('--strict', 'end with exit code 7 if something is missing in the snapshot')
    .addOption(jsonOption())
    .action((options: CaptureCommandOptions) => {
      const given = command.getOptionValueSource('mode') === 'cli' ? options.mode : null;
      if (options.core !== undefined && given !== null)
        throw usageError('--mode is for processes, and --core names a file');
      assertPipe(io, options);
      return captureFrom(io, { ...options, mode: modeOf(given, options) });
    });
  examples(command, [
    'gospy capture --pid 4711 -o snap.gsp',
    'gospy capture --pid $(pgrep -o prometheus) -o snap.gsp --leaks',
  ]);
}

/** Throws GospyError with exit code 2 if a snapshot is to go to standard output, and that is for something else. */
function assertPipe(io: Io, { output, json }: CaptureCommandOptions): void {
  if (output !== PIPE) return;
  if (json === true) throw usageError('-o - and --json both write to standard output');
  if (io.isTerminal) {
    throw usageError('a snapshot is not text, and standard output is a terminal', {
      hint: 'name a file with -o, or redirect standard output',
    });
  }
}

/** Where the snapshot goes: `path` is but a name where there is no file. */
function destination(io: Io, output: string): { readonly path: string; readonly to: Pick<WriteOptions, 'write'> } {
  return output === PIPE
    ? { path: 'standard output', to: { write: (bytes) => io.bytes(bytes) } }
    : { path: output, to: {} };
}

function modeOf(
  given: CaptureMode | null,
  { nonBlocking, leaks }: Pick<CaptureCommandOptions, 'nonBlocking' | 'leaks'>,
): CaptureMode {
  if (leaks === true && (nonBlocking === true || (given !== null && given !== 'clone')))
    throw usageError('--leaks reads the heap of a clone, at leisure: no other --mode has one');
  if (nonBlocking !== true) return given ?? (leaks === true ? 'clone' : 'stop');
  if (given === 'stop' || given === 'clone') {
    throw usageError(`--mode ${given} and --non-blocking contradict each other: name one of them`);
  }
  return 'live';
}

function milliseconds(text: string): number {
  const ms = /^[0-9]{1,9}(\.[0-9]{1,6})?$/.test(text) ? Number(text) : 0;
  if (ms <= 0) throw new InvalidArgumentError('It takes milliseconds, more than 0.');
  return ms;
}

/** How a proof is made, if one is asked for. */
function leakOptions({ leaks, maxHeap }: CaptureCommandOptions): { leaks?: { maxHeapBytes: number } } {
  return leaks === true ? { leaks: { maxHeapBytes: maxHeap * 2 ** 20 } } : {};
}

async function captureFrom(io: Io, options: CaptureCommandOptions): Promise<void> {
  const { pid, core } = options;
  if (core !== undefined) return printReport(io, options, await captureCore(io, core, options));
  if (pid === undefined)
    throw usageError('no process is given', { hint: 'name one with --pid N, or a core with --core' });
  return printReport(io, options, await captureProcess(io, pid, options));
}

async function captureCore(io: Io, file: string, options: CaptureCommandOptions): Promise<CoreSnapshotReport> {
  const [{ coreToSnapshot }, { removeUnfinished }] = await Promise.all([
    import('../targets/core-to-snapshot.js'),
    import('../../snapshots/atomic-file.js'),
  ]);
  const { bin, debugDir } = options;
  const { path, to } = destination(io, options.output);
  const forget = onInterrupt(removeUnfinished);
  const decoders = await readDecoders(options.decode);
  const opening = { progress: io.progress, values: options.values, decoders, ...leakOptions(options), ...to };
  return coreToSnapshot({ file, bin, debugDir }, path, opening).finally(forget);
}

async function captureProcess(io: Io, pid: number, options: CaptureCommandOptions): Promise<CaptureReport> {
  if (options.budget !== undefined && options.mode === 'live')
    throw usageError('--budget bounds the stop, and --mode live makes none');
  // Before the rest is loaded and compiled, which takes as long as much of what follows.
  const { lowerPriority } = await import('../../capture/ptrace/priority.js');
  // For good: once gospy ends, the kernel takes milliseconds to get its memory back.
  lowerPriority();
  return captureLowered(io, pid, options);
}

async function captureLowered(io: Io, pid: number, options: CaptureCommandOptions): Promise<CaptureReport> {
  const { mode, bin, budget } = options;
  const { path, to } = destination(io, options.output);
  const [{ captureToFile }, { endClones }, { checkOutput, removeUnfinished }] = await Promise.all([
    import('../../capture/capture.js'),
    import('../../capture/clone/clone.js'),
    import('../../snapshots/atomic-file.js'),
  ]);
  const decoders = await readDecoders(options.decode);
  const binary = await openBinary(bin);
  const forget = [onInterrupt(removeUnfinished), onInterrupt(endClones)];
  try {
    const captureWith = captureOptions(mode, binary, { progress: io.progress, decoders });
    if (to.write === undefined) checkOutput(path);
    return await captureToFile(pid, path, {
      ...captureWith,
      ...(budget === undefined ? {} : { budgetMs: budget }),
      ...leakOptions(options),
      values: options.values,
      ...to,
    });
  } finally {
    forget.forEach((forgetOne) => forgetOne());
    binary?.close();
  }
}

async function printReport(
  io: Io,
  { output, strict, json }: CaptureCommandOptions,
  report: CaptureReport | CoreSnapshotReport,
): Promise<void> {
  if (json === true) await io.json({ schema: 'gospy.capture/1', ...report });
  else if (output === PIPE) io.note(captureText(report).trimEnd());
  else await io.write(captureText(report));
  io.warnings(report.warnings, runtimeNames(report.runtimes));
  if (strict !== true || !report.partial) return;
  await io.end();
  throw new GospyError(
    ExitCode.partial,
    `${report.path} is partial: ${report.warnings[0]?.message ?? 'something is missing'}`,
    {
      hint: 'it was kept; without --strict this is not an error',
    },
  );
}

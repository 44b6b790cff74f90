import { Option, type Command } from 'commander';
import { ExitCode, GospyError, usageError } from '../../snapshots/errors.js';
import type { CaptureMode } from '../../capture/capture.js';
import { onInterrupt } from '../interrupt.js';
import type { Io } from '../io.js';
import { captureOptions } from '../live.js';
import { binOption, examples, jsonOption, pidOption } from '../options.js';
import { captureText } from '../render/capture.js';
import { openBinary } from '../target.js';

interface CaptureCommandOptions {
  readonly pid: number;
  readonly output: string;
  readonly mode: CaptureMode;
  readonly nonBlocking?: true;
  readonly bin?: string;
  readonly strict?: true;
  readonly json?: true;
}

const MODES: readonly CaptureMode[] = ['stop', 'clone', 'live'];

/** `gospy capture`: from a live process to a file. */
export function define(command: Command, io: Io): void {
  command
    .summary('stops a process for about a millisecond and writes a snapshot of it')
    .description(
      'Copies what every goroutine of a running Go process is doing into a snapshot, from which the other commands ' +
        'answer later, on any machine. The process goes on as before, also when gospy is killed in the middle. FILE is ' +
        'replaced in one step or not at all.',
    )
    .addOption(pidOption('the process').makeOptionMandatory())
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
    .addOption(binOption())
    .option('--strict', 'end with exit code 7 where something is missing in the snapshot')
    .addOption(jsonOption())
    .action((options: CaptureCommandOptions) => {
      const given = command.getOptionValueSource('mode') === 'cli' ? options.mode : null;
      return capture(io, { ...options, mode: modeOf(given, options.nonBlocking === true) });
    });
  examples(command, [
    'gospy capture --pid 4711 -o snap.gsp',
    'gospy capture --pid $(pgrep -o prometheus) -o snap.gsp --json',
  ]);
}

function modeOf(given: CaptureMode | null, nonBlocking: boolean): CaptureMode {
  if (!nonBlocking) return given ?? 'stop';
  if (given === 'stop' || given === 'clone') {
    throw usageError(`--mode ${given} and --non-blocking contradict each other: name one of them`);
  }
  return 'live';
}

async function capture(io: Io, { pid, output, mode, bin, strict, json }: CaptureCommandOptions): Promise<void> {
  const [{ captureToFile }, { endClones }, { checkOutput, removeUnfinished }] = await Promise.all([
    import('../../capture/capture.js'),
    import('../../capture/clone.js'),
    import('../../snapshots/gsp/atomic-file.js'),
  ]);
  const binary = await openBinary(bin);
  const how = captureOptions(io, mode, binary);
  checkOutput(output);
  const forget = [onInterrupt(removeUnfinished), onInterrupt(endClones)];
  const report = await captureToFile(pid, output, how).finally(() => {
    forget.forEach((take) => take());
    binary?.close();
  });
  if (json === true) await io.json({ schema: 'gospy.capture/1', ...report });
  else await io.write(captureText(report));
  io.warnings(report.warnings);
  if (strict !== true || !report.partial) return;
  await io.end();
  throw new GospyError(
    ExitCode.partial,
    `${output} is partial: ${report.warnings[0]?.message ?? 'something is missing'}`,
    {
      hint: 'it was kept; without --strict this is no error',
    },
  );
}

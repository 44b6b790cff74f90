import { ExitCode } from '../snapshots/errors.js';
import { describeFailure } from './failure.js';
import { exitOnSignals } from './interrupt.js';
import { Io, ReaderGone } from './io.js';
import { version } from './version.js';

/** Runs gospy with the arguments after its name and returns the exit code. Prints errors and throws none. */
export async function run(args: readonly string[]): Promise<ExitCode> {
  exitOnSignals();
  const io = new Io();
  const [first = ''] = args;
  try {
    if (first === '--version' || first === '-V') {
      await io.write(`gospy ${version()}\n`);
    } else {
      const { runCommand } = await import('./command-line.js');
      await runCommand(args, io);
    }
    await io.end();
    return ExitCode.ok;
  } catch (error) {
    if (error instanceof ReaderGone) return ExitCode.ok;
    const { exitCode, text } = describeFailure(/^[a-z]+$/.test(first) ? first : '', error);
    io.note(text);
    return exitCode;
  }
}

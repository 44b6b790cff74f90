import { ExitCode } from '../snapshots/errors.js';
import { describeFailure } from './failure.js';
import { ReaderGone, type Io } from './io.js';
import { version } from './version.js';

/** Runs gospy with the arguments after its name, writes to `io`, and returns the exit code. Throws nothing. */
export async function run(args: readonly string[], io: Io): Promise<ExitCode> {
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

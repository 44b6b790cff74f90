import { Argument, InvalidArgumentError, Option, type Command } from 'commander';

/** pids are positive and fit a C int. */
const PID_LIMIT = 2 ** 31;

/** `--pid N`, checked. */
export function pidOption(description: string): Option {
  return new Option('--pid <N>', description).argParser((text) => {
    const pid = whole(text);
    if (pid === null || pid === 0 || pid >= PID_LIMIT) {
      throw new InvalidArgumentError('A process id is a whole number above 0.');
    }
    return pid;
  });
}

/** `--limit N`: a whole number, where 0 means all. */
export function limitOption(description: string, initial?: number): Option {
  return new Option('--limit <N>', description).default(initial).argParser((text) => {
    const limit = whole(text);
    if (limit === null) throw new InvalidArgumentError('It takes a whole number, 0 for all.');
    return limit;
  });
}

export function jsonOption(): Option {
  return new Option('--json', 'print one JSON document');
}

/** `--bin FILE`. */
export function binOption(): Option {
  return new Option(
    '--bin <FILE>',
    'its executable, or a build of the same source with more in it; another is refused',
  );
}

/** `--debug-dir DIR`, any number of times. */
export function debugDirOption(): Option {
  return new Option(
    '--debug-dir <DIR>',
    'a tree of executables, by build id or by path, that cores are read with; may be given again',
  ).argParser((folder: string, before: string[] | undefined) => [...(before ?? []), folder]);
}

/** `[TARGET]` and `--pid`, of which every reading command takes one, `--bin` and `--debug-dir`. */
export function takesTarget(command: Command): Command {
  return command
    .addArgument(new Argument('[TARGET]', 'a .gsp snapshot or an ELF core'))
    .addOption(pidOption('read the live process N in place of a file'))
    .addOption(binOption())
    .addOption(debugDirOption());
}

/** Two examples at the end of the help. */
export function examples(command: Command, lines: readonly [string, string]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}\n`).join('')}`);
}

function whole(text: string): number | null {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

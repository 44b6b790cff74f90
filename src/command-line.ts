import { Command, CommanderError } from 'commander';
import { usageError } from '../snapshots/errors.js';
import type { Io } from './io.js';
import { version } from './version.js';

/** Adds a command's help, options and action to `command`. What is heavy, the action loads. */
type Define = (command: Command, io: Io) => void;

/** In the order of the help. */
const COMMANDS: ReadonlyMap<string, () => Promise<{ define: Define }>> = new Map([
  ['capture', () => import('./commands/capture.js')],
  ['summary', () => import('./commands/summary.js')],
  ['goroutines', () => import('./commands/goroutines.js')],
  ['stacks', () => import('./commands/stacks.js')],
  ['threads', () => import('./commands/threads.js')],
  ['top', () => import('./commands/top.js')],
  ['diff', () => import('./commands/diff.js')],
  ['export', () => import('./commands/export.js')],
  ['info', () => import('./commands/info.js')],
  ['explain', () => import('./commands/explain.js')],
  ['doctor', () => import('./commands/doctor.js')],
  ['demo', () => import('./commands/demo.js')],
]);

/** Finds the command in the arguments behind gospy's name, and runs it. Throws what it throws, or a usage error. */
export async function runCommand(args: readonly string[], io: Io): Promise<void> {
  let help = '';
  const program = new Command('gospy')
    .description('What is every goroutine in that production Go process doing, and why?')
    .usage('COMMAND [OPTION...] [TARGET]')
    .version(`gospy ${version()}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [COMMAND]', 'print the help of a command')
    .configureOutput({ writeOut: (text) => (help += text), writeErr: () => undefined, getOutHelpWidth: () => 100 })
    .exitOverride();

  const [first = ''] = args;
  const only = COMMANDS.get(first);
  for (const [name, load] of only === undefined ? COMMANDS : [[first, only] as const]) {
    (await load()).define(program.command(name), io);
  }
  if (args.length === 0) {
    throw usageError('no command is given', { hint: 'try `gospy demo`, or `gospy --help` for what there is' });
  }
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageOf(error, only === undefined ? 'gospy' : `gospy ${first}`);
    await io.write(help);
  }
}

/** Commander's complaint as one of gospy's. */
function usageOf(error: CommanderError, command: string): Error {
  const what = error.message.replace(/^error: /, '');
  return usageError(what, { hint: `\`${command} --help\` has the options`, cause: error });
}

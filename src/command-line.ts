import { Command, CommanderError } from 'commander';
import { usageError } from '../snapshots/errors.js';
import type { Io } from './io.js';
import { version } from './version.js';

/** Adds a command's help, options and action to `command`. The action itself loads what is slow to load. */
type Define = (command: Command, io: Io) => void;

/** By name, in the order of the help. */
const COMMANDS: ReadonlyMap<string, () => Promise<{ define: Define }>> = new Map([
  ['capture', () => import('./commands/capture.js')],
  ['summary', () => import('./commands/summary.js')],
  ['goroutines', () => import('./commands/goroutines.js')],
  ['stacks', () => import('./commands/stacks.js')],
  ['threads', () => import('./commands/threads.js')],
  ['waits', () => import('./commands/waits.js')],
  ['top', () => import('./commands/top.js')],
  ['leaks', () => import('./commands/leaks.js')],
  ['diff', () => import('./commands/diff.js')],
  ['export', () => import('./commands/export.js')],
  ['query', () => import('./commands/query.js')],
  ['info', () => import('./commands/info.js')],
  ['explain', () => import('./commands/explain.js')],
  ['print', () => import('./commands/print.js')],
  ['doctor', () => import('./commands/doctor.js')],
  ['demo', () => import('./commands/demo.js')],
]);

/** Runs the command that the arguments after `gospy` name. Throws what the command throws, or a usage error. */
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

  const name = commandIn(args);
  const load = COMMANDS.get(name);
  // One command is asked for, or the help of all.
  for (const [known, loadOne] of load === undefined ? COMMANDS : [[name, load] as const]) {
    (await loadOne()).define(program.command(known), io);
  }
  if (args.length === 0) {
    throw usageError('no command is given', { hint: 'try `gospy demo`, or `gospy --help` for the list of commands' });
  }
  try {
    await program.parseAsync(load === undefined ? withoutCommand(args, name) : args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageErrorOf(error, load === undefined ? 'gospy' : `gospy ${name}`);
    await io.write(help);
  }
}

/** The command that the arguments name, or of which they ask for help; empty where they name none. */
function commandIn([first = '', second = '']: readonly string[]): string {
  const name = first === 'help' ? second : first;
  return name === 'help' || name.startsWith('-') ? '' : name;
}

/** What to parse where no command is named, or one that does not exist, which not even a wish for help makes good. */
function withoutCommand(args: readonly string[], name: string): readonly string[] {
  if (name !== '') return [name];
  return args[0] === 'help' ? ['--help'] : args;
}

/** Turns commander's error into a usage error. */
function usageErrorOf(error: CommanderError, command: string): Error {
  const what = error.message.replace(/^error: /, '');
  const list = error.code === 'commander.unknownCommand' ? 'commands' : 'options';
  return usageError(what, { hint: `\`${command} --help\` lists the ${list}`, cause: error });
}

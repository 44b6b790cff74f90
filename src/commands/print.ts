import { Argument, InvalidArgumentError, Option, type Command } from 'commander';
import type { GoProgram, Programs } from '../../analyze/program.js';
import type { PrintedGoroutine, PrintQuery } from '../../analyze/report/print.js';
import { usageError } from '../../snapshots/errors.js';
import type { Io } from '../io.js';
import { namesOf } from '../render/runtimes.js';
import { examples, jsonOption, takesTarget } from '../options.js';
import { goidOf } from '../selection-options.js';
import { chooseRuntime } from '../targets/choose-runtime.js';
import { withPrograms, type TargetOptions } from './with-target.js';

interface PrintOptions extends TargetOptions {
  readonly depth: number;
  readonly elements: number;
  readonly as?: string;
  readonly json?: true;
}

const DEPTH = 2;
const ELEMENTS = 16;
/** More would only fill the screen, and what is shown is limited in any case. */
const MOST = 1000;

/** `gospy print`: the arguments of a goroutine's calls, by their types. */
export function define(command: Command, io: Io): void {
  takesTarget(command)
    .addArgument(new Argument('[GOID]', 'the goroutine'))
    .addArgument(
      new Argument('[FRAME.ARG]', 'an argument: its frame, counted from 0 as `stacks` prints them, and its place'),
    )
    .usage('[options] [TARGET] GOID [FRAME[.ARG]]')
    .summary("the arguments of a goroutine's calls, by their types")
    .description(
      "Prints an argument of a call on a goroutine's stack by its type, to a depth: it needs no debug information. Without " +
        'FRAME.ARG, lists the frames with their numbers and the arguments whose types are known; with FRAME alone, all arguments ' +
        'of it. A live process is read while it runs; a snapshot has the stacks alone, and no values.',
    )
    .addOption(countOption('--depth <N>', 'follow pointers, interfaces, slices, maps and channels so far', DEPTH))
    .addOption(countOption('--elements <N>', 'show so many elements of each slice, array, map and channel', ELEMENTS))
    .option('--as <TYPE>', 'take the argument for this type of the program, such as main.order or *main.order')
    .addOption(jsonOption())
    .action((...args: [...(string | undefined)[], PrintOptions, Command]) => {
      const options = args.at(-2) as PrintOptions;
      return run(
        io,
        args.slice(0, -2).filter((arg) => typeof arg === 'string'),
        options,
      );
    });
  examples(command, ['gospy print --pid 4711 18', 'gospy print core.4711 18 3.0 --depth 3']);
}

function countOption(flags: string, description: string, initial: number): Option {
  return new Option(flags, description).default(initial).argParser((text) => {
    const count = /^[0-9]{1,4}$/.test(text) ? Number(text) : Infinity;
    if (count > MOST) throw new InvalidArgumentError(`It takes a whole number up to ${MOST}.`);
    return count;
  });
}

const HOW = { hint: '`gospy print TARGET GOID` lists the frames and arguments of a goroutine' };

async function run(io: Io, args: readonly string[], options: PrintOptions): Promise<void> {
  const isLive = options.pid !== undefined && args.length <= 2 && goidOf(args[0] ?? '') !== null;
  const [file, goidText, place] = isLive ? [undefined, ...args] : args;
  const goid = goidOf(goidText ?? '');
  if (goidText === undefined) throw usageError('no goroutine is named', HOW);
  if (goid === null) throw usageError(`'${goidText}' is not a goroutine id`, HOW);
  const query = queryOf(place, options);
  if (!isLive) {
    await withPrograms(io, file, options, async (programs) => {
      const { printArguments } = await import('../../analyze/report/print.js');
      await show(io, programs, goid, query, options, (program, g) => printArguments(program, g, query));
    });
    return;
  }
  const [{ openRunning }, { printArguments, printRunning }] = await Promise.all([
    import('../targets/running.js'),
    import('../../analyze/report/print.js'),
  ]);
  const target = await openRunning({ pid: options.pid, bin: options.bin });
  try {
    const programs = chooseRuntime(target.programs, options.runtime);
    await show(io, programs, goid, query, options, (program, { addr }) =>
      printRunning(() => {
        const now = target.now(program);
        for (const g of now.goroutinesAt([addr])) if (g.goid === goid) return printArguments(now, g, query);
        return null;
      }),
    );
  } finally {
    target.close();
  }
}

/** Parses `3` and `3.0`. */
function queryOf(place: string | undefined, options: PrintOptions): PrintQuery {
  const { depth, elements } = options;
  const as = options.as ?? null;
  const [, frame, argument] = /^(\d{1,6})(?:\.(\d{1,3}))?$/.exec(place ?? '') ?? [];
  if (place !== undefined && frame === undefined)
    throw usageError(`'${place}' is not a frame and an argument, such as 3.0`, HOW);
  if (as !== null && argument === undefined) throw usageError('--as is for one argument', HOW);
  const numberOf = (text: string | undefined): number | null => (text === undefined ? null : Number(text));
  return { frame: numberOf(frame), argument: numberOf(argument), as, depth, elements };
}

type Read = (
  program: GoProgram,
  g: ReturnType<typeof import('./one-goroutine.js').goroutineOf>['g'],
) => PrintedGoroutine | null;

async function show(
  io: Io,
  programs: Programs,
  goid: number,
  query: PrintQuery,
  { json }: PrintOptions,
  read: Read,
): Promise<void> {
  const [{ goroutineOf }, { runtimesOf, targetOfAll }, { answer }, { printedText }] = await Promise.all([
    import('./one-goroutine.js'),
    import('../../analyze/report/all-runtimes.js'),
    import('../../analyze/report/answer.js'),
    import('../render/print.js'),
  ]);
  const { program, g } = goroutineOf(programs, goid);
  const printed = read(program, g);
  if (printed === null) throw usageError(`goroutine ${goid} ended while it was read`);
  check(printed, query);
  const { warnings } = answer(program, null);
  const names = namesOf(programs);
  if (json === true) {
    const [target, runtimes] = [targetOfAll([program]), runtimesOf(programs)];
    await io.json({ schema: 'gospy.print/1', target, runtimes, ...printed, warnings });
  } else await io.write(printedText(printed, query, names(printed.runtime)));
  io.warnings(warnings, names);
}

/** Throws a usage error where there is no such frame or argument. */
function check({ goid, frames }: PrintedGoroutine, { frame, argument }: PrintQuery): void {
  const [found] = frames;
  if (frame !== null && found === undefined) throw usageError(`goroutine ${goid} has no frame ${frame}`, HOW);
  if (argument === null || found === undefined || found.arguments?.length === 1) return;
  if (found.arguments !== null) throw usageError(`frame ${frame} prints no argument ${argument}`, HOW);
  const why = found.inlined ? 'is an inlined call, whose arguments are nowhere' : 'has arguments that are not known';
  throw usageError(`frame ${frame} ${why}`, HOW);
}

import { InvalidArgumentError, Option, type Command } from 'commander';
import { STATUSES, type GoroutineStatus } from '../analyze/runtime/goroutine.js';
import { SORTS, type Selection, type Sort } from '../analyze/report/selection.js';

/** Nanoseconds by the units of Go's durations. */
const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** What {@link selectsGoroutines} adds to a command. */
export interface SelectionOptions {
  readonly status?: GoroutineStatus[];
  readonly waitReason?: string;
  readonly func?: RegExp;
  readonly work?: RegExp;
  readonly label?: Readonly<Record<string, string>>;
  /** Nanoseconds. */
  readonly minWait?: number;
  readonly goid?: number[];
  /** False if `--no-system` was given. */
  readonly system: boolean;
  readonly sort: Sort;
}

/** Adds the filters and the order that every command about goroutines takes. */
export function selectsGoroutines(command: Command): Command {
  return command
    .addOption(new Option('--status <STATUS>', 'only this status; may be given again').argParser(parseStatus))
    .option('--wait-reason <WORDS>', "only those with this wait reason, in the runtime's words")
    .addOption(new Option('--func <RE>', 'only those with a matching function on their stack').argParser(parsePattern))
    .addOption(new Option('--work <RE>', 'only those that work on something that matches').argParser(parsePattern))
    .addOption(
      new Option('--label <K=V>', 'only those with this pprof label; may be given again').argParser(parseLabel),
    )
    .addOption(
      new Option('--min-wait <DUR>', 'only those known to have waited this long, such as 90s, 5m, 1h30m').argParser(
        parseDuration,
      ),
    )
    .addOption(new Option('--goid <N>', 'only this goroutine; may be given again').argParser(parseGoid))
    .option('--no-system', "leave out the runtime's own goroutines")
    .addOption(new Option('--sort <ORDER>', 'the order').choices(SORTS).default('goid'));
}

/** The selection that the options describe. */
export function selectionOf(options: SelectionOptions): Selection {
  const { status, waitReason, func, work, label, minWait, goid, system } = options;
  return {
    ...(status === undefined ? {} : { statuses: status }),
    ...(waitReason === undefined ? {} : { waitReason }),
    ...(func === undefined ? {} : { func }),
    ...(work === undefined ? {} : { work }),
    ...(label === undefined ? {} : { labels: label }),
    ...(minWait === undefined ? {} : { minWaitNs: minWait }),
    ...(goid === undefined ? {} : { goids: goid }),
    noSystem: !system,
  };
}

function parseStatus(text: string, before: GoroutineStatus[] = []): GoroutineStatus[] {
  const status = STATUSES.find((s) => s === text);
  if (status === undefined) throw new InvalidArgumentError(`The statuses are ${STATUSES.join(', ')}.`);
  return [...before, status];
}

function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? `${error.message}.` : 'It is not a regular expression.');
  }
}

function parseLabel(text: string, before: Record<string, string> = {}): Record<string, string> {
  const equals = text.indexOf('=');
  if (equals <= 0) throw new InvalidArgumentError('A label is KEY=VALUE.');
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
}

/** Parses a duration as Go's time.ParseDuration does, such as `1h30m`, to nanoseconds. Throws where it is not one. */
export function parseDuration(text: string): number {
  if (!/^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(text))
    throw new InvalidArgumentError('A duration is like 90s, 5m or 1h30m.');
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)].reduce(
    (sum, [, number = '0', unit = 's']) => sum + Number(number) * (UNITS[unit] ?? 0),
    0,
  );
}

/** Returns the goroutine id that `text` is, or null where it is none. */
export function goidOf(text: string): number | null {
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : null;
}

/** Adds a goroutine id to those before it. Throws where it is not one. */
function parseGoid(text: string, before: number[] = []): number[] {
  const goid = goidOf(text);
  if (goid === null) throw new InvalidArgumentError('A goroutine id is a whole number above 0.');
  return [...before, goid];
}

import { InvalidArgumentError, Option, type Command } from 'commander';
import type { GoroutineStatus } from '../analyze/runtime/goroutine.js';
import { SORTS, type Selection, type Sort } from '../analyze/report/selection.js';

const STATUSES: readonly GoroutineStatus[] = [
  ...(['idle', 'runnable', 'running', 'syscall', 'waiting', 'dead'] as const),
  ...(['copystack', 'preempted', 'leaked'] as const),
];

/** Nanoseconds by the units that Go's durations have. */
const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** What {@link selectsGoroutines} adds to a command. */
export interface SelectionOptions {
  readonly status?: GoroutineStatus[];
  readonly waitReason?: string;
  readonly func?: RegExp;
  readonly label?: Readonly<Record<string, string>>;
  readonly minWait?: number;
  readonly goid?: number[];
  /** False where `--no-system` was given. */
  readonly system: boolean;
  readonly sort: Sort;
}

/** The filters and the order that every command with goroutines takes. */
export function selectsGoroutines(command: Command): Command {
  return command
    .addOption(new Option('--status <STATUS>', 'only this status; may be given again').argParser(statusOf))
    .option('--wait-reason <WORDS>', 'only those that wait for this, in the words of the runtime')
    .addOption(new Option('--func <RE>', 'only those with a function in their stack that matches').argParser(patternOf))
    .addOption(new Option('--label <K=V>', 'only those with this pprof label; may be given again').argParser(labelOf))
    .addOption(
      new Option('--min-wait <DUR>', 'only those known to wait so long, such as 90s, 5m, 1h30m').argParser(durationOf),
    )
    .addOption(new Option('--goid <N>', 'only this goroutine; may be given again').argParser(goidOf))
    .option('--no-system', "leave the runtime's own goroutines out")
    .addOption(new Option('--sort <ORDER>', 'the order').choices(SORTS).default('goid'));
}

export function selectionOf(options: SelectionOptions): Selection {
  const { status, waitReason, func, label, minWait, goid, system } = options;
  return {
    ...(status === undefined ? {} : { statuses: status }),
    ...(waitReason === undefined ? {} : { waitReason }),
    ...(func === undefined ? {} : { func }),
    ...(label === undefined ? {} : { labels: label }),
    ...(minWait === undefined ? {} : { minWaitNs: minWait }),
    ...(goid === undefined ? {} : { goids: goid }),
    noSystem: !system,
  };
}

function statusOf(text: string, before: GoroutineStatus[] = []): GoroutineStatus[] {
  const status = STATUSES.find((s) => s === text);
  if (status === undefined) throw new InvalidArgumentError(`The statuses are ${STATUSES.join(', ')}.`);
  return [...before, status];
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? `${error.message}.` : 'It is no regular expression.');
  }
}

function labelOf(text: string, before: Record<string, string> = {}): Record<string, string> {
  const equals = text.indexOf('=');
  if (equals <= 0) throw new InvalidArgumentError('A label is KEY=VALUE.');
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
}

/** As Go's time.ParseDuration has it: numbers with units in a row. */
export function durationOf(text: string): number {
  if (!/^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(text))
    throw new InvalidArgumentError('A duration is like 90s, 5m or 1h30m.');
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)].reduce(
    (sum, [, number = '0', unit = 's']) => sum + Number(number) * (UNITS[unit] ?? 0),
    0,
  );
}

export function goidOf(text: string, before: number[] = []): number[] {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('A goroutine id is a whole number above 0.');
  return [...before, Number(text)];
}

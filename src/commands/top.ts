import { isatty } from 'node:tty';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { ViewBy } from '../../analyze/report/live-view.js';
import { usageError } from '../../snapshots/errors.js';
import { decodeOption, readDecoders } from '../decoders.js';
import { explain } from '../failure.js';
import { onInterrupt } from '../interrupt.js';
import type { Io } from '../io.js';
import { namesOf } from '../render/runtimes.js';
import { examples, limitOption, sourceRootOption, takesTarget } from '../options.js';
import { parseDuration } from '../selection-options.js';
import { captureOptions, openBinary } from '../targets/live.js';
import type { Subject } from '../tui/session.js';
import type { Mode, SortKey, State } from '../tui/state.js';
import { groupByOf } from './goroutines.js';
import { withPrograms, type TargetOptions } from './with-target.js';

interface TopOptions extends TargetOptions {
  readonly groupBy: ViewBy;
  readonly sort: SortKey;
  readonly filter: string;
  readonly mode: Mode;
  /** Nanoseconds. */
  readonly interval: number;
  readonly limit: number;
  readonly sourceRoot?: string;
  readonly once?: true;
}

const SORTS: readonly SortKey[] = ['count', 'delta', 'rate', 'wait', 'name'];
const MODES: readonly Mode[] = ['live', 'stop'];
const SECOND_NS = 1e9;
const LEAST_INTERVAL_NS = 1e8;

/** `gospy top`: watches a process full-screen, or prints one frame. */
export function define(command: Command, io: Io): void {
  takesTarget(command)
    .summary('watches groups of goroutines come and go, full-screen')
    .description(
      'Shows what the goroutines of a running process have in common, how many there are, and how fast they grow; ' +
        'opens groups, goroutines and stacks; ? lists the keys. The process is never stopped, unless --mode stop is ' +
        'given. A snapshot is shown the same way.',
    )
    .addOption(
      new Option(
        '--group-by <KEY>',
        'start, caller, current, user, stack, wait, status, work, locks (what goroutines wait on, and for whom) or label:K',
      )
        .argParser(parseGrouping)
        .default({ kind: 'start' } satisfies ViewBy, 'start'),
    )
    .addOption(new Option('--sort <KEY>', 'the order').choices(SORTS).default('count'))
    .addOption(new Option('--filter <TEXT>', 'show only lines with this text').default('', 'none'))
    .addOption(
      new Option('--mode <MODE>', 'live: nothing is stopped; stop: all threads stand still for each sample')
        .choices(MODES)
        .default('live'),
    )
    .addOption(
      new Option('--interval <DUR>', 'time between two samples, such as 500ms, 2s')
        .argParser(parseInterval)
        .default(SECOND_NS, '1s'),
    )
    .option('--once', 'print one plain frame, and end')
    .addOption(decodeOption())
    .addOption(sourceRootOption())
    .addOption(limitOption('with --once, print at most N groups, 0 for all', 200))
    .action((file: string | undefined, options: TopOptions) => top(io, file, options));
  examples(command, ['gospy top --pid 4711', 'gospy top --pid 4711 --once --group-by wait']);
}

async function top(io: Io, file: string | undefined, options: TopOptions): Promise<void> {
  if (options.once !== true) requireTerminal();
  if (file !== undefined || options.pid === undefined) {
    return withPrograms(io, file, options, (programs) => watch(io, { programs }, options));
  }
  const { bin, pid, mode, runtime } = options;
  const decoders = await readDecoders(options.decode);
  const binary = await openBinary(bin);
  try {
    const { ProcessSource } = await import('../tui/source.js');
    // Without progress, which would be written over the screen.
    const source = new ProcessSource(pid, mode, captureOptions(mode, binary, { decoders }), runtime);
    try {
      const first = await source.next();
      await watch(io, { source, first, saveAs: () => snapshotName(pid) }, options);
    } finally {
      source.close();
    }
  } finally {
    binary?.close();
  }
}

async function watch(io: Io, subject: Subject, options: TopOptions): Promise<void> {
  const [{ initialState }, { placesOf }] = await Promise.all([import('../tui/state.js'), import('../listing.js')]);
  const { mode, interval, groupBy: by, sort, filter } = options;
  const sampling = 'source' in subject ? { mode, intervalMs: interval / 1e6, paused: false } : null;
  const state = initialState({ columns: io.columns, rows: 0, sampling, by, sort, filter }, await placesOf(io, options));
  if (options.once === true) await printOnce(io, subject, state, options.limit);
  else await show(io, subject, state);
}

async function printOnce(io: Io, subject: Subject, state: State, limit: number): Promise<void> {
  const [{ viewOfAll }, { queryOf }, { onceText }] = await Promise.all([
    import('../../analyze/report/all-runtimes.js'),
    import('../tui/state.js'),
    import('../tui/once.js'),
  ]);
  const programs = 'programs' in subject ? subject.programs : subject.first.programs;
  const view = viewOfAll(programs, queryOf(state));
  await io.write(onceText({ ...state, view }, limit));
  io.warnings(view.warnings, namesOf(programs));
}

async function show(io: Io, subject: Subject, state: State): Promise<void> {
  const [{ Session }, { GROUPS }, { onceText }, { removeUnfinished }] = await Promise.all([
    import('../tui/session.js'),
    import('../tui/state.js'),
    import('../tui/once.js'),
    import('../../snapshots/atomic-file.js'),
  ]);
  await io.end();
  const session = new Session(subject, state);
  const forget = [onInterrupt(removeUnfinished), onInterrupt(() => session.leave())];
  const ending = await session.run().finally(() => forget.forEach((forgetOne) => forgetOne()));
  if (ending.kind !== 'target-ended') return;
  // The last sample of the process stays on the terminal.
  await io.write(onceText({ ...session.state, levels: [GROUPS] }, state.rows));
  await io.end();
  io.note(`gospy top: ${explain(ending.error)}`);
}

/** Throws a usage error unless there is a terminal to draw on and to read keys from. */
function requireTerminal(): void {
  const hint = '--once prints one plain frame';
  if (!isatty(1) || !isatty(0)) throw usageError('top needs a terminal for its input and output', { hint });
  if ((process.env['TERM'] ?? 'dumb') === 'dumb') throw usageError('this terminal cannot move its cursor', { hint });
}

/** A file name in the current folder, unique by its time. */
function snapshotName(pid: number): string {
  return `gospy-${pid}-${new Date().toISOString().replace(/[-:]|\.\d+Z$/g, '')}.gsp`;
}

function parseGrouping(text: string): ViewBy {
  return text === 'status' || text === 'locks' ? { kind: text } : groupByOf(text);
}

function parseInterval(text: string): number {
  const interval = parseDuration(text);
  if (interval < LEAST_INTERVAL_NS) throw new InvalidArgumentError('The shortest interval is 100ms.');
  return interval;
}

import { Argument, Option, type Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import type { GroupBy } from '../../analyze/report/groups.js';
import { usageError } from '../../snapshots/errors.js';
import type { Io } from '../io.js';
import { runtimeNames } from '../render/runtimes.js';
import { examples, jsonOption, limitOption, pidOption, runtimeOption, sourceRootOption } from '../options.js';
import { groupByOf } from './goroutines.js';
import { withTargets } from './with-target.js';

interface DiffOptions {
  readonly pid?: number;
  readonly bin?: readonly string[];
  readonly runtime?: string;
  readonly groupBy: GroupBy;
  readonly limit: number;
  readonly sourceRoot?: string;
  readonly json?: true;
}

/** `gospy diff`: what changed between two captures. */
export function define(command: Command, io: Io): void {
  command
    .summary('what changed between two snapshots')
    .description(
      'Compares two snapshots of one process: which goroutines started, ended, moved, and which stayed where they were ' +
        'all the time; which groups grew; what the scheduler did. Snapshots of two processes, or of two builds, are ' +
        'compared by function names.',
    )
    .addArgument(new Argument('<A>', 'the earlier snapshot'))
    .addArgument(new Argument('[B]', 'the later one'))
    .addOption(pidOption('compare with the live process N in place of B'))
    .option('--bin <FILE>', 'the executable, as with other commands; given twice, that of A and that of B', addFile)
    .addOption(runtimeOption())
    .addOption(
      new Option('--group-by <KEY>', 'start, caller, current, user, stack, wait or label:K')
        .argParser(groupByOf)
        .default({ kind: 'start' } satisfies GroupBy, 'start'),
    )
    .addOption(limitOption('print at most N lines of each list, 0 for all', 20))
    .addOption(sourceRootOption())
    .addOption(jsonOption())
    .action((a: string, b: string | undefined, options: DiffOptions) => diff(io, a, b, options));
  examples(command, ['gospy diff monday.gsp tuesday.gsp', 'gospy diff before.gsp --pid 4711 --group-by stack']);
}

async function diff(io: Io, a: string, b: string | undefined, options: DiffOptions): Promise<void> {
  const { pid, runtime, bin = [] } = options;
  if (b === undefined && pid === undefined)
    throw usageError('diff compares two: name B, or a live process with --pid N');
  if (bin.length > 2) throw usageError('--bin is given at most twice: for A, and for B');
  const targets = [
    { file: a, runtime, bin: bin[0] },
    { file: b, pid, runtime, bin: bin.at(-1) },
  ] as const;
  await withTargets(io, targets, ([before, after]) => printDiff(io, before, after, options));
}

async function printDiff(io: Io, before: Programs, after: Programs, options: DiffOptions): Promise<void> {
  const [{ compareAll }, { diffText }, { placesOf }] = await Promise.all([
    import('../../analyze/report/diff-runtimes.js'),
    import('../render/diff.js'),
    import('../listing.js'),
  ]);
  const { value: diff, warnings } = compareAll(before, after, options.groupBy);
  if (options.json === true) {
    const { after, changes, goroutines: counts, ...rest } = diff;
    const goroutines = { ...counts, ...(changes ?? NO_CHANGES) };
    await io.json({ schema: 'gospy.diff/1', target: after, ...rest, warnings, goroutines });
  } else {
    const placeOf = await placesOf(io, options);
    for (const text of diffText(diff, options.limit, placeOf)) await io.write(text);
  }
  io.warnings(warnings, runtimeNames(diff.runtimes));
}

/** Between two processes, single goroutines cannot be compared. */
const NO_CHANGES = { started: null, ended: null, moved: null, returned: null, parked: null };

/** Collects the files that an option is given several times with. */
function addFile(file: string, before: readonly string[] = []): string[] {
  return [...before, file];
}

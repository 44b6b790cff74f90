import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import type { GroupBy } from '../../analyze/report/groups.js';
import type { Io } from '../io.js';
import { decodeOption } from '../decoders.js';
import { namesOf } from '../render/runtimes.js';
import { examples, jsonOption, limitOption, sourceRootOption, takesTarget } from '../options.js';
import { goroutineTable, groupText } from '../render/goroutines.js';
import { moreLine } from '../render/summary.js';
import { selectionOf, selectsGoroutines, type SelectionOptions } from '../selection-options.js';
import { withPrograms, type TargetOptions } from './with-target.js';

interface GoroutinesOptions extends SelectionOptions, TargetOptions {
  readonly groupBy?: GroupBy;
  readonly all?: true;
  readonly limit?: number;
  readonly sourceRoot?: string;
  readonly json?: true;
  readonly ndjson?: true;
}

/** Lines of text unless --limit says otherwise. */
const TEXT_LIMIT = 200;
const PLACES = ['start', 'caller', 'current', 'user', 'app', 'stack', 'wait', 'work'] as const;

/** `gospy goroutines`: a line for each goroutine, or for each group. */
export function define(command: Command, io: Io): void {
  selectsGoroutines(takesTarget(command))
    .summary('one line a goroutine, filtered, sorted or grouped')
    .description(
      'Prints what each goroutine does and where; with --group-by, what many have in common, the largest group first. ' +
        'JSON has the whole stack of each.',
    )
    .addOption(
      new Option('--group-by <KEY>', 'start, caller, current, user, app, stack, wait, work or label:K').argParser(
        groupByOf,
      ),
    )
    .option('--all', "with --group-by stack: also the runtime's own goroutines and frames, which text leaves out")
    .addOption(limitOption('print at most N, 0 for all (text: 200)'))
    .addOption(decodeOption())
    .addOption(sourceRootOption())
    .addOption(jsonOption())
    .addOption(new Option('--ndjson', 'print one JSON object a line').conflicts(['json', 'groupBy']))
    .action((file: string | undefined, options: GoroutinesOptions) =>
      withPrograms(io, file, options, (programs) =>
        options.groupBy === undefined
          ? printGoroutines(io, programs, options)
          : printGroups(io, programs, options.groupBy, options),
      ),
    );
  examples(command, [
    'gospy goroutines snap.gsp --status waiting --min-wait 5m --sort wait',
    'gospy goroutines --pid 4711 --group-by stack --no-system',
  ]);
}

async function printGoroutines(io: Io, programs: Programs, options: GoroutinesOptions): Promise<void> {
  const [{ listAll }, { limited, limitedAnswer, placesOf, queryOf, writeCrash }, { writeGoroutines, writeLines }] =
    await Promise.all([
      import('../../analyze/report/all-runtimes.js'),
      import('../listing.js'),
      import('../export/json.js'),
    ]);
  const query = queryOf(options);
  const names = namesOf(programs);
  if (options.json === true || options.ndjson === true) {
    const goroutines = listAll(programs, 'stack', query);
    const limit = options.limit ?? 0;
    if (options.json === true) {
      await writeGoroutines(io, programs, 'gospy.goroutines/1', limitedAnswer(goroutines, limit));
    } else await writeLines(io, limited(goroutines, limit));
    io.warnings(goroutines.warnings, names);
    return;
  }
  const goroutines = listAll(programs, 'located', query);
  const limit = options.limit ?? TEXT_LIMIT;
  const shown = [...limited(goroutines, limit)];
  const placeOf = await placesOf(io, options);
  await writeCrash(io, programs);
  await io.write(goroutineTable(shown, io.columns, names, placeOf));
  if (limit !== 0 && shown.length === limit) {
    const all = count(listAll(programs, 'plain', { selection: selectionOf(options) }));
    if (all > limit) await io.write(moreLine(all - limit));
  }
  io.warnings(goroutines.warnings, names);
}

function count(items: Iterable<unknown>): number {
  let n = 0;
  for (const item of items) if (item !== undefined) n++;
  return n;
}

async function printGroups(io: Io, programs: Programs, by: GroupBy, options: GoroutinesOptions): Promise<void> {
  const [{ groupAll, runtimesOf, targetOfAll }, { placesOf, writeCrash }] = await Promise.all([
    import('../../analyze/report/all-runtimes.js'),
    import('../listing.js'),
  ]);
  const brief = by.kind === 'stack' && options.all !== true && options.json !== true;
  const selection = selectionOf(options);
  const { value: groups, warnings } = groupAll(programs, by, brief ? { ...selection, noSystem: true } : selection);
  const names = namesOf(programs);
  const limit = options.limit ?? (options.json === true ? 0 : TEXT_LIMIT);
  const shown = limit === 0 ? groups : groups.slice(0, limit);
  const key = by.kind === 'label' ? `label:${by.key}` : by.kind;
  if (options.json === true) {
    const [target, runtimes] = [targetOfAll(programs), runtimesOf(programs)];
    await io.json({ schema: 'gospy.groups/1', target, runtimes, by: key, groups: shown, warnings });
  } else {
    const placeOf = await placesOf(io, options);
    await writeCrash(io, programs);
    for (const group of shown) await io.write(groupText(group, names(group.runtime), !brief, placeOf));
    if (groups.length > shown.length) await io.write(moreLine(groups.length - shown.length));
  }
  io.warnings(warnings, names);
}

/** Parses the argument of `--group-by`. Throws InvalidArgumentError. */
export function groupByOf(text: string): GroupBy {
  const kind = PLACES.find((place) => place === text);
  if (kind !== undefined) return { kind };
  if (text.startsWith('label:') && text.length > 'label:'.length)
    return { kind: 'label', key: text.slice('label:'.length) };
  throw new InvalidArgumentError(`The keys are ${PLACES.join(', ')} and label:K.`);
}

import { Option, type Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import type { Summary } from '../../analyze/report/model.js';
import type { Io } from '../io.js';
import { namesOf } from '../render/runtimes.js';
import { examples, jsonOption, limitOption, sourceRootOption, takesTarget } from '../options.js';
import { goroutineLine, moreLine, overview, PLACES, type Place } from '../render/summary.js';
import { withPrograms, type TargetOptions } from './with-target.js';

/** How a summary is printed. */
export interface SummaryOptions {
  readonly pc: Place;
  /** The most goroutines to print; 0 for all. */
  readonly limit: number;
  readonly sourceRoot?: string;
  readonly json?: true;
}

/** `gospy summary`: the overview. */
export function define(command: Command, io: Io): void {
  takesTarget(command)
    .summary('the overview: Ps, threads, goroutines and where each of them is')
    .description(
      'Prints the program, the state of its Ps, its threads and goroutines, and one line a goroutine: what it does, ' +
        'and a place in the program.',
    )
    .addOption(
      new Option(
        '--pc <PLACE>',
        "the place to show: the goroutine's function (start), the go statement that made it (caller), where it will " +
          'go on (current), or the innermost frame outside the runtime (user) or the standard library (app)',
      )
        .choices(PLACES)
        .default('start'),
    )
    .addOption(limitOption('print at most N goroutines, 0 for all', 200))
    .addOption(sourceRootOption())
    .addOption(jsonOption())
    .action((file: string | undefined, options: SummaryOptions & TargetOptions) =>
      withPrograms(io, file, options, (programs) => printSummary(io, programs, options)),
    );
  examples(command, ['gospy summary snap.gsp', 'gospy summary --pid 4711 --pc user --limit 0']);
}

/** Prints the overview of programs, as text or as JSON. */
export async function printSummary(io: Io, programs: Programs, options: SummaryOptions): Promise<void> {
  const { summarizeAll } = await import('../../analyze/report/all-runtimes.js');
  const { value: summary, warnings } = summarizeAll(programs);
  if (options.json === true) {
    await io.json({ schema: 'gospy.summary/1', ...summary, warnings });
  } else {
    await printText(io, programs, options, summary);
  }
  io.warnings(warnings, namesOf(programs));
}

/** Prints the overview, a line for each goroutine, and how many are left out. */
async function printText(io: Io, programs: Programs, options: SummaryOptions, summary: Summary): Promise<void> {
  const { pc, limit } = options;
  const [{ listAll }, { limited, placesOf }] = await Promise.all([
    import('../../analyze/report/all-runtimes.js'),
    import('../listing.js'),
  ]);
  const names = namesOf(programs);
  const placeOf = await placesOf(io, options);
  await io.write(`${overview(summary)}\ngoroutines:\n\n`);
  if (pc === 'user' || pc === 'app') {
    for (const g of limited(listAll(programs, 'located'), limit))
      await io.write(goroutineLine(g, pc, names(g.runtime), placeOf));
  } else {
    for (const g of limited(listAll(programs, 'plain'), limit))
      await io.write(goroutineLine(g, pc, names(g.runtime), placeOf));
  }
  const { total } = summary.goroutines;
  if (limit !== 0 && total > limit) await io.write(moreLine(total - limit));
}

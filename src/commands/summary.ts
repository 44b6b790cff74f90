import { Option, type Command } from 'commander';
import type { GoProgram } from '../../analyze/program.js';
import type { Io } from '../io.js';
import { examples, jsonOption, limitOption, takesTarget } from '../options.js';
import { goroutineLine, moreLine, overview, PLACES, type Place } from '../render/summary.js';
import { withProgram, type TargetOptions } from './with-target.js';

/** How a summary is printed. */
export interface SummaryOptions {
  readonly pc: Place;
  /** The most goroutines to print; 0 for all. */
  readonly limit: number;
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
          'go on (current), or the innermost frame outside the runtime (user)',
      )
        .choices(PLACES)
        .default('start'),
    )
    .addOption(limitOption('print at most N goroutines, 0 for all', 200))
    .addOption(jsonOption())
    .action((file: string | undefined, options: SummaryOptions & TargetOptions) =>
      withProgram(io, file, options, (program) => printSummary(io, program, options)),
    );
  examples(command, ['gospy summary snap.gsp', 'gospy summary --pid 4711 --pc user --limit 0']);
}

/** Prints the overview of a program, as text or as JSON. */
export async function printSummary(io: Io, program: GoProgram, options: SummaryOptions): Promise<void> {
  const { summarize } = await import('../../analyze/report/summary.js');
  const { value: summary, warnings } = summarize(program);
  if (options.json === true) {
    await io.json({ schema: 'gospy.summary/1', ...summary, warnings });
  } else {
    await io.write(`${overview(summary)}\ngoroutines:\n\n`);
    await printLines(io, program, options, summary.goroutines.total);
  }
  io.warnings(warnings);
}

/** Prints a line for each goroutine, and how many of all `total` are left out. */
async function printLines(io: Io, program: GoProgram, { pc, limit }: SummaryOptions, total: number): Promise<void> {
  const [{ listGoroutines }, { limited }] = await Promise.all([
    import('../../analyze/report/goroutines.js'),
    import('../listing.js'),
  ]);
  if (pc === 'user') {
    for (const g of limited(listGoroutines(program, 'located'), limit)) await io.write(goroutineLine(g, pc));
  } else {
    for (const g of limited(listGoroutines(program, 'plain'), limit)) await io.write(goroutineLine(g, pc));
  }
  if (limit !== 0 && total > limit) await io.write(moreLine(total - limit));
}

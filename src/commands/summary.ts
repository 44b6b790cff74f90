import { Option, type Command } from 'commander';
import type { GoProgram } from '../../analyze/program.js';
import type { Goroutine } from '../../analyze/report/model.js';
import type { Io } from '../io.js';
import { examples, jsonOption, limitOption, takesTarget } from '../options.js';
import { goroutineLine, moreLine, overview, PLACES, type Place } from '../render/summary.js';
import { withProgram, type TargetOptions } from './with-target.js';

/** How a summary is printed. */
export interface SummaryOptions {
  readonly pc: Place;
  /** Goroutines printed, at most; 0 for all. */
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
  const [{ summarize }, { listGoroutines }] = await Promise.all([
    import('../../analyze/report/summary.js'),
    import('../../analyze/report/goroutines.js'),
  ]);
  const goroutines = listGoroutines(program, { frames: false, user: options.pc === 'user' });
  if (options.json === true) {
    const summary = summarize(program, goroutines);
    await io.json({ schema: 'gospy.summary/1', ...summary });
    io.warnings(summary.warnings);
    return;
  }
  const first = new FirstById(options.limit === 0 ? Infinity : options.limit);
  const summary = summarize(program, first.noting(goroutines));
  await io.write(`${overview(summary)}\ngoroutines:\n\n`);
  const shown = first.sorted();
  for (const g of shown) await io.write(goroutineLine(g, options.pc));
  const more = summary.goroutines.total - shown.length;
  if (more > 0) await io.write(moreLine(more));
  io.warnings(summary.warnings);
}

/** Keeps the goroutines with the lowest ids out of any number that pass. */
class FirstById {
  readonly #limit: number;
  #kept: Goroutine[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Passes `goroutines` on. */
  *noting(goroutines: Iterable<Goroutine>): Iterable<Goroutine> {
    for (const g of goroutines) {
      this.#kept.push(g);
      if (this.#kept.length > 2 * this.#limit + 1000) this.#kept = this.sorted();
      yield g;
    }
  }

  sorted(): Goroutine[] {
    return this.#kept.sort((a, b) => a.goid - b.goid).slice(0, this.#limit);
  }
}

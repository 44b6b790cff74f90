import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import { usageError } from '../../snapshots/errors.js';
import type { Io } from '../io.js';
import { examples, jsonOption, limitOption, takesTarget } from '../options.js';
import { namesOf } from '../render/runtimes.js';
import { goidOf } from '../selection-options.js';
import { withPrograms, type TargetOptions } from './with-target.js';

interface WaitsOptions extends TargetOptions {
  readonly goid?: number;
  readonly limit?: number;
  readonly json?: true;
  readonly dot?: true;
}

/** Entries of each list in text, and things in a graph, unless --limit says otherwise. */
const TEXT_LIMIT = 20;

/** `gospy waits`: who waits for whom. */
export function define(command: Command, io: Io): void {
  takesTarget(command)
    .summary('who waits for whom: deadlocks, locks with their holders, and what chains of waits end at')
    .description(
      'Prints deadlocks first: goroutines that wait for each other. Then come locks, and what else goroutines wait on, with ' +
        'who has to end the wait and why that is thought, and what long chains of waits end at.',
    )
    .addOption(
      new Option('--goid <N>', 'follow this goroutine: what it waits on, whom that waits for, and so on').argParser(
        (text) => {
          const goid = goidOf(text);
          if (goid === null) throw new InvalidArgumentError('A goroutine id is a whole number above 0.');
          return goid;
        },
      ),
    )
    .addOption(limitOption(`print at most N entries of each list, 0 for all (text: ${TEXT_LIMIT})`))
    .addOption(jsonOption())
    .addOption(new Option('--dot', 'print a graph for Graphviz').conflicts('json'))
    .action((file: string | undefined, options: WaitsOptions) =>
      withPrograms(io, file, options, (programs) => printWaits(io, programs, options)),
    );
  examples(command, ['gospy waits snap.gsp', 'gospy waits --pid 4711 --goid 77']);
}

async function printWaits(io: Io, programs: Programs, { goid, limit, json, dot }: WaitsOptions): Promise<void> {
  const [{ runtimesOf, targetOfAll, waitsOfAll }, { writeCrash }, { waitsText }, { waitsDot }] = await Promise.all([
    import('../../analyze/report/all-runtimes.js'),
    import('../listing.js'),
    import('../render/waits.js'),
    import('../render/waits-dot.js'),
  ]);
  const { value: report, warnings } = waitsOfAll(programs, { goid });
  if (goid !== undefined && report.chain.length === 0) {
    throw usageError(`there is no goroutine ${goid} in the target`, { hint: '`gospy goroutines` lists them' });
  }
  const names = namesOf(programs);
  if (json === true) {
    const { goroutines, edges, cycles, roots } = report;
    const chain = goid === undefined ? {} : { chain: report.chain };
    const [target, runtimes] = [targetOfAll(programs), runtimesOf(programs)];
    await io.json({ schema: 'gospy.waits/1', target, runtimes, goroutines, edges, cycles, roots, ...chain, warnings });
  } else if (dot === true) {
    await io.write(waitsDot(report, limit ?? TEXT_LIMIT));
  } else {
    await writeCrash(io, programs);
    await io.write(waitsText(report, limit ?? TEXT_LIMIT, names));
  }
  io.warnings(warnings, names);
}

import { Argument, type Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import type { Io } from '../io.js';
import { decodeOption } from '../decoders.js';
import { namesOf } from '../render/runtimes.js';
import { examples, jsonOption, limitOption, sourceRootOption, takesTarget } from '../options.js';
import { selectsGoroutines, type SelectionOptions } from '../selection-options.js';
import { targetAndGoids, withPrograms, type TargetOptions } from './with-target.js';

interface StacksOptions extends SelectionOptions, TargetOptions {
  readonly limit?: number;
  readonly sourceRoot?: string;
  readonly json?: true;
}

/** `gospy stacks`: whole stacks as Go's own traceback prints them. */
export function define(command: Command, io: Io): void {
  selectsGoroutines(takesTarget(command))
    .addArgument(new Argument('[GOID...]', 'only these goroutines'))
    .summary("whole stacks, in the text of Go's own traceback")
    .description(
      'Prints the stack of every goroutine as the program itself would (pprof: debug=2), which panicparse and other ' +
        'readers accept.',
    )
    .addOption(limitOption('print at most N goroutines, 0 for all'))
    .addOption(decodeOption())
    .addOption(sourceRootOption())
    .addOption(jsonOption())
    .action((first: string | undefined, others: readonly string[], options: StacksOptions) => {
      const { file, goids } = targetAndGoids(first === undefined ? [] : [first, ...others], options);
      const goid = [...goids, ...(options.goid ?? [])];
      const narrowed = goid.length === 0 ? options : { ...options, goid };
      return withPrograms(io, file, options, (programs) => printStacks(io, programs, narrowed));
    });
  examples(command, ['gospy stacks snap.gsp 18 42', "gospy stacks snap.gsp --func 'net/http' --no-system"]);
}

async function printStacks(io: Io, programs: Programs, options: StacksOptions): Promise<void> {
  const [
    { listAll },
    { limited, limitedAnswer, placesOf, queryOf, writeCrash },
    { writeGoroutines },
    { tracebackTexts },
    { workTexts },
  ] = await Promise.all([
    import('../../analyze/report/all-runtimes.js'),
    import('../listing.js'),
    import('../export/json.js'),
    import('../render/traceback.js'),
    import('../render/work.js'),
  ]);
  const limit = options.limit ?? 0;
  const names = namesOf(programs);
  if (options.json === true) {
    const goroutines = limitedAnswer(listAll(programs, 'stack', queryOf(options)), limit);
    await writeGoroutines(io, programs, 'gospy.stacks/1', goroutines);
    io.warnings(goroutines.warnings, names);
    return;
  }
  const placeOf = await placesOf(io, options);
  const tracebacks = listAll(programs, 'traceback', queryOf(options));
  await writeCrash(io, programs);
  // Ahead of all stacks: whoever reads tracebacks takes goroutines with a line between them for several tracebacks.
  for (const text of workTexts(limited(listAll(programs, 'working', queryOf(options)), limit), names))
    await io.write(text);
  let separator = programs[0].image.signal === null ? '' : '\n';
  for (const text of tracebackTexts(limited(tracebacks, limit), names, false, placeOf)) {
    await io.write(separator + text);
    separator = '';
  }
  io.warnings(tracebacks.warnings, names);
}

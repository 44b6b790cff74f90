import { Argument, type Command } from 'commander';
import type { GoProgram } from '../../analyze/program.js';
import type { Io } from '../io.js';
import { examples, jsonOption, limitOption, takesTarget } from '../options.js';
import { selectsGoroutines, type SelectionOptions } from '../selection-options.js';
import { targetAndGoids, withProgram, type TargetOptions } from './with-target.js';

interface StacksOptions extends SelectionOptions, TargetOptions {
  readonly limit?: number;
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
    .addOption(jsonOption())
    .action((first: string | undefined, others: readonly string[], options: StacksOptions) => {
      const { file, goids } = targetAndGoids(first === undefined ? [] : [first, ...others], options);
      const goid = [...goids, ...(options.goid ?? [])];
      const narrowed = goid.length === 0 ? options : { ...options, goid };
      return withProgram(io, file, options, (program) => printStacks(io, program, narrowed));
    });
  examples(command, ['gospy stacks snap.gsp 18 42', "gospy stacks snap.gsp --func 'net/http' --no-system"]);
}

async function printStacks(io: Io, program: GoProgram, options: StacksOptions): Promise<void> {
  const [{ listGoroutines }, { limited, queryOf, writeCrash, writeGoroutines }, { tracebackText }] = await Promise.all([
    import('../../analyze/report/goroutines.js'),
    import('../listing.js'),
    import('../render/traceback.js'),
  ]);
  const limit = options.limit ?? 0;
  if (options.json === true) {
    const goroutines = listGoroutines(program, 'stack', queryOf(options));
    await writeGoroutines(io, program, 'gospy.stacks/1', goroutines, limit);
    io.warnings(goroutines.warnings);
    return;
  }
  const tracebacks = listGoroutines(program, 'traceback', queryOf(options));
  await writeCrash(io, program);
  let separator = program.image.signal === null ? '' : '\n';
  for (const traceback of limited(tracebacks, limit)) {
    await io.write(separator + tracebackText(traceback));
    separator = '\n';
  }
  io.warnings(tracebacks.warnings);
}

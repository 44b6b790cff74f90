import { Argument, type Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import { usageError } from '../../snapshots/errors.js';
import type { Io } from '../io.js';
import { namesOf } from '../render/runtimes.js';
import { examples, jsonOption, takesTarget } from '../options.js';
import { targetAndGoids, withPrograms, type TargetOptions } from './with-target.js';

/** `gospy explain`: how a goroutine's stack was followed, step by step. */
export function define(command: Command, io: Io): void {
  takesTarget(command)
    .addArgument(new Argument('[GOID]', 'the goroutine'))
    .usage('[options] [TARGET] GOID')
    .summary("how a goroutine's stack was followed, step by step")
    .description(
      "Prints how gospy followed a goroutine's stack: for each step the function, the rule that led to its caller, and " +
        'the words of memory that the rule used. For stacks that look wrong or end early: docs/debugging-a-stack.md ' +
        'says what each rule means.',
    )
    .addOption(jsonOption())
    .action((first: string | undefined, second: string | undefined, options: TargetOptions & { json?: true }) => {
      const { file, goids } = targetAndGoids(
        [first, second].filter((arg) => arg !== undefined),
        options,
      );
      const [goid] = goids;
      if (goid === undefined) throw usageError('no goroutine is named', NAME_ONE);
      if (goids.length > 1) throw usageError('explain follows one goroutine at a time', NAME_ONE);
      return withPrograms(io, file, options, (programs) => explain(io, programs, goid, options.json === true));
    });
  examples(command, ['gospy explain snap.gsp 18', 'gospy explain --pid 4711 18 --json']);
}

const NAME_ONE = { hint: 'its id comes after the target: `gospy explain snap.gsp 18`' };

async function explain(io: Io, programs: Programs, goid: number, json: boolean): Promise<void> {
  const [{ explainStack }, { goroutineOf }, { runtimesOf, targetOfAll }, { answer }, { explanationText }] =
    await Promise.all([
      import('../../analyze/report/explain.js'),
      import('./one-goroutine.js'),
      import('../../analyze/report/all-runtimes.js'),
      import('../../analyze/report/answer.js'),
      import('../render/explain.js'),
    ]);
  const one = goroutineOf(programs, goid);
  const { value: explanation, warnings } = answer(one.program, explainStack(one.program, one.g));
  const names = namesOf(programs);
  if (json) {
    const [target, runtimes] = [targetOfAll([one.program]), runtimesOf(programs)];
    await io.json({ schema: 'gospy.explain/1', target, runtimes, ...explanation, warnings });
  } else {
    await io.write(explanationText(explanation, names(explanation.runtime)));
  }
  io.warnings(warnings, names);
}

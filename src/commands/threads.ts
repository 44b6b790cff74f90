import type { Command } from 'commander';
import type { Programs } from '../../analyze/program.js';
import type { Io } from '../io.js';
import { namesOf } from '../render/runtimes.js';
import { examples, jsonOption, takesTarget } from '../options.js';
import { threadTable } from '../render/threads.js';
import { withPrograms, type TargetOptions } from './with-target.js';

/** `gospy threads`: M to thread to goroutine, and where each stands. */
export function define(command: Command, io: Io): void {
  takesTarget(command)
    .summary('every thread: its M, its goroutine, its state, and where it is')
    .description(
      "Prints every thread of the process with the runtime's M on it, the kernel's state before the stop, the goroutine " +
        'that it runs, and where it stood. JSON has the whole stack of each, the system stack included.',
    )
    .addOption(jsonOption())
    .action((file: string | undefined, options: TargetOptions & { json?: true }) =>
      withPrograms(io, file, options, (programs) => printThreads(io, programs, options.json === true)),
    );
  examples(command, ['gospy threads snap.gsp', 'gospy threads --pid 4711 --json']);
}

async function printThreads(io: Io, programs: Programs, json: boolean): Promise<void> {
  const [{ listAllThreads, runtimesOf, targetOfAll }, { writeCrash }] = await Promise.all([
    import('../../analyze/report/all-runtimes.js'),
    import('../listing.js'),
  ]);
  const { value: threads, warnings } = listAllThreads(programs);
  if (json) {
    const [target, runtimes] = [targetOfAll(programs), runtimesOf(programs)];
    await io.json({ schema: 'gospy.threads/1', target, runtimes, threads, warnings });
  } else {
    await writeCrash(io, programs);
    await io.write(threadTable(threads, io.columns, namesOf(programs)));
  }
  io.warnings(warnings, namesOf(programs));
}

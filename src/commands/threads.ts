import type { Command } from 'commander';
import type { GoProgram } from '../../analyze/program.js';
import type { Io } from '../io.js';
import { examples, jsonOption, takesTarget } from '../options.js';
import { threadTable } from '../render/threads.js';
import { withProgram, type TargetOptions } from './with-target.js';

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
      withProgram(io, file, options, (program) => printThreads(io, program, options.json === true)),
    );
  examples(command, ['gospy threads snap.gsp', 'gospy threads --pid 4711 --json']);
}

async function printThreads(io: Io, program: GoProgram, json: boolean): Promise<void> {
  const [{ listThreads }, { targetOf }, { writeCrash }] = await Promise.all([
    import('../../analyze/report/threads.js'),
    import('../../analyze/report/summary.js'),
    import('../listing.js'),
  ]);
  const { value: threads, warnings } = listThreads(program);
  if (json) {
    await io.json({ schema: 'gospy.threads/1', target: targetOf(program), threads, warnings });
  } else {
    await writeCrash(io, program);
    await io.write(threadTable(threads, io.columns));
  }
  io.warnings(warnings);
}

import type { GoProgram, Programs } from '../../analyze/program.js';
import { withParts } from '../../snapshots/image.js';
import { openBinary, requireLinux } from './live.js';
import type { ProcessTarget } from './target.js';

/** A process that is read while it runs: nothing stops it, and all of its memory can be read. */
export interface RunningTarget {
  readonly programs: Programs;
  /** One of the programs with the memory that it has from now on. Throws `noGoProcess` if the process has ended. */
  now(program: GoProgram): GoProgram;
  close(): void;
}

/** Opens a process to read it while it runs. Throws GospyError as openTarget does. */
export async function openRunning({ pid, bin }: ProcessTarget): Promise<RunningTarget> {
  requireLinux();
  const binary = await openBinary(bin);
  const [{ LiveProcess }, { openLive }, { lowerPriority }] = await Promise.all([
    import('../../capture/process/live-process.js'),
    import('../../capture/copy/look-again.js'),
    import('../../capture/ptrace/priority.js'),
  ]);
  lowerPriority();
  const closing: (() => void)[] = [() => binary?.close()];
  const close = (): void => closing.forEach((end) => end());
  try {
    const target = new LiveProcess(pid, 'read');
    closing.unshift(() => target.close());
    const programs = openLive(target, (names) => {
      const own = target.structs(names);
      return own.size > 0 ? own : (binary?.debugInfo(names) ?? new Map());
    });
    binary?.assertMatches(programs);
    const now = (program: GoProgram): GoProgram => {
      target.assertUnchanged(null);
      const { memory, mappings } = target.contents();
      const capture = { ...program.image.capture, ...target.clocks() };
      return program.over(withParts(program.image, { memory, mappings, capture }));
    };
    return { programs, now, close };
  } catch (error) {
    close();
    throw error;
  }
}

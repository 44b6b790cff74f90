import { openPrograms, RUNTIME_UNREADABLE, type Programs } from '../../analyze/program.js';
import { RuntimeNotReady } from '../../analyze/runtime/globals.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { MemoryFault } from '../../snapshots/memory.js';
import { NO_DEBUG_INFO, type DebugInfo } from '../../analyze/runtime/layouts.js';
import type { LiveProcess } from '../process/live-process.js';
import { sleep } from '../process/sleep.js';
import { makePlans, survey, type Plan, type Survey } from './plan.js';

/** How long to look again before an answer that may be due to the moment is taken as final, in milliseconds. */
const CHANGING_MS = 250;
/** ... and for how long a program may not have started its runtime. */
const STARTING_MS = 2000;
/** Looks that are made in any case, however long each takes, and of which the last one counts if none is certain. */
const LEAST_LOOKS = 3;

/**
 * Looks at a process that runs on. Its mappings, lists and records are read one after another, so what is seen may be of
 * different moments, and then it does not fit together: it is looked at again, within limits. `isCertain` is false
 * if what `look` returned may be due to the moment. Throws what the last look threw, and GospyError where that was a MemoryFault.
 */
export function lookAgain<T>(look: () => T, isCertain: (seen: T) => boolean = () => true): T {
  const begun = performance.now();
  for (let looks = 1; ; looks++) {
    try {
      const seen = look();
      if (looks >= LEAST_LOOKS || isCertain(seen)) return seen;
    } catch (error) {
      const patience = patienceWith(error);
      const isOver = performance.now() - begun >= patience && (looks >= LEAST_LOOKS || patience === 0);
      if (isOver) throw error instanceof MemoryFault ? changesTooFast(error) : error;
    }
    sleep();
  }
}

/** Finds the Go programs of a process that runs on. Throws GospyError, as {@link openPrograms} does. */
export function openLive(target: LiveProcess, debugInfo: DebugInfo = NO_DEBUG_INFO): Programs {
  return lookAgain(() => openPrograms(target.image(), debugInfo), areCertain);
}

/** As {@link survey}, of a process that runs on. Throws GospyError. */
export function surveyLive(target: LiveProcess, debugInfo: DebugInfo): Survey {
  return lookAgain(
    () => survey(target.image(), debugInfo),
    ({ programs }) => areCertain(programs),
  );
}

/** As {@link makePlans}, of a process that runs on. Throws GospyError. */
export function planLive(surveyed: Survey, target: LiveProcess): Plan[] {
  return lookAgain(() => makePlans(surveyed, target.contents()));
}

/** True unless the moment may be why something of a program was not found, or one of several could not be read. */
function areCertain(programs: Programs): boolean {
  const { warnings } = programs[0].image.capture;
  return (
    programs.every(({ globals }) => globals.isCertain) && warnings.every(({ code }) => code !== RUNTIME_UNREADABLE)
  );
}

/** For how long an error of a look may be due to the moment, in milliseconds. */
function patienceWith(error: unknown): number {
  if (error instanceof MemoryFault) return CHANGING_MS;
  if (!(error instanceof GospyError)) return 0;
  if (error.cause instanceof RuntimeNotReady) return STARTING_MS;
  return error.exitCode === ExitCode.unsupported ? CHANGING_MS : 0;
}

function changesTooFast(cause: MemoryFault): GospyError {
  return new GospyError(ExitCode.noGoProcess, `the process changes faster than it can be read: ${cause.message}`, {
    cause,
    hint: 'try again, or capture it with --mode stop',
  });
}

import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { GoroutineWithStack, Target } from '../../analyze/report/model.js';
import { targetOf } from '../../analyze/report/summary.js';
import type { GoProgram } from '../../analyze/program.js';
import { openCore } from '../../snapshots/elf/core-image.js';
import { openCorePrograms } from '../../src/targets/core-files.js';
import type { FileOptions } from '../../src/targets/target.js';

/** What gospy says of a core. */
export interface ReadCore {
  readonly goroutines: GoroutineWithStack[];
  readonly target: Target;
  readonly warnings: readonly string[];
}

/** Reads a core as the commands do. */
export function readCore(path: string, options: FileOptions = {}): ReadCore {
  return withCore(path, options, (program) => ({
    goroutines: [...listGoroutines(program, 'stack')],
    target: targetOf(program),
    warnings: [...program.image.capture.warnings, ...program.warnings].map(
      ({ code, message }) => `${code}: ${message}`,
    ),
  }));
}

/** Calls `use` with the program in a core, and closes the core. */
export function withCore<T>(path: string, options: FileOptions, use: (program: GoProgram) => T): T {
  const core = openCore(path);
  try {
    const { programs, close } = openCorePrograms(core, options);
    try {
      return use(programs[0]);
    } finally {
      close();
    }
  } finally {
    core.close();
  }
}

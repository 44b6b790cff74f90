import { findAllMissing, runtimesOf, targetOfAll } from '../../analyze/report/all-runtimes.js';
import type { Missing } from '../../analyze/report/missing.js';
import type { Runtime, Target } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import { hex } from '../../snapshots/address.js';
import type { Core } from '../../snapshots/elf/core-image.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import type { Executable } from '../../snapshots/image.js';
import { openCorePrograms } from './core-files.js';
import type { FileOptions } from './target.js';

/** What is in a core and whether it is whole; `gospy.info/1` of a core. */
export interface CoreInfo {
  readonly kind: 'core';
  readonly ok: boolean;
  /** What is wrong, one sentence each. */
  readonly problems: readonly string[];
  readonly sizeBytes: number;
  /** Bytes that were cut off the end of the file. */
  readonly missingBytes: number;
  /** Mappings of which something was cut off. */
  readonly cut: readonly { readonly start: string; readonly end: string; readonly path: string }[];
  /** Bytes of the process's memory in the file. */
  readonly memoryBytes: number;
  /** Goroutines of which something is missing; null where none can be read. */
  readonly missing: Missing | null;
  readonly pid: number;
  readonly executable: Executable;
  /** Path of the executable that lends the core what it lacks; null where none was found. */
  readonly executableFound: string | null;
  readonly threads: number;
  readonly mappings: number;
  /** The Go program in it; null where none can be read. */
  readonly target: Target | null;
  readonly runtimes: readonly Runtime[];
  readonly warnings: readonly Warning[];
  /** What to do about it if no program can be read; null where one can, or nothing is known to help. */
  readonly hint: string | null;
}

/** Reads all of a core that the analysis needs, and closes it. */
export function coreInfo(core: Core, options: FileOptions): CoreInfo {
  try {
    const problems = [...core.problems];
    const program = programInfo(core, options, problems);
    return { ...fileInfo(core), ...program, ok: problems.length === 0, problems };
  } finally {
    core.close();
  }
}

type ProgramInfo = Pick<
  CoreInfo,
  'target' | 'runtimes' | 'missing' | 'executable' | 'executableFound' | 'warnings' | 'hint'
>;

function fileInfo(core: Core): Omit<CoreInfo, keyof ProgramInfo | 'ok' | 'problems'> {
  return {
    kind: 'core',
    sizeBytes: core.sizeBytes,
    missingBytes: core.missingBytes,
    cut: core.cut.map(({ start, end, path }) => ({ start: hex(start), end: hex(end), path })),
    memoryBytes: core.memoryBytes,
    pid: core.pid,
    threads: core.threads.length,
    mappings: core.mappings.length,
  };
}

/** Follows every stack. Adds to `problems` if the core is too damaged for that. */
function programInfo(core: Core, options: FileOptions, problems: string[]): ProgramInfo {
  try {
    const { programs, executable: executableFound, close } = openCorePrograms(core, options);
    try {
      const { executable } = programs[0].image;
      const target = targetOfAll(programs);
      const { value: missing, warnings } = findAllMissing(programs);
      const runtimes = runtimesOf(programs);
      return { target, runtimes, missing, warnings, executable, executableFound, hint: null };
    } finally {
      close();
    }
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    const isDamaged = error.exitCode === ExitCode.badFile;
    if (isDamaged) problems.push(error.message);
    const warnings = isDamaged ? [] : [{ code: 'program-unreadable', message: error.message }];
    const { executable } = core;
    const { hint } = error;
    return { target: null, runtimes: [], missing: null, executable, executableFound: null, warnings, hint };
  }
}

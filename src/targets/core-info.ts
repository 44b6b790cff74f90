import type { GoProgram } from '../../analyze/program.js';
import { missingOf, type Missing } from '../../analyze/report/missing.js';
import type { Target } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import { targetOf } from '../../analyze/report/summary.js';
import { hex } from '../../snapshots/address.js';
import type { Core } from '../../snapshots/elf/core-image.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import type { Executable } from '../../snapshots/image.js';
import { openCoreProgram, type CoreFileOptions } from './core-files.js';

/** What is in a core and whether it is whole; `gospy.info/1` of a core. */
export interface CoreCheck {
  readonly kind: 'core';
  readonly ok: boolean;
  /** What is wrong, one sentence each. */
  readonly problems: readonly string[];
  readonly sizeBytes: number;
  /** Bytes that were cut off the end of the file. */
  readonly missingBytes: number;
  /** Mappings of which something was cut off. */
  readonly cut: readonly { readonly start: string; readonly end: string; readonly path: string }[];
  /** Bytes of memory of the process that the file has. */
  readonly memoryBytes: number;
  /** Goroutines of which something is missing; null where none can be read. */
  readonly missing: Missing | null;
  readonly pid: number;
  readonly executable: Executable;
  /** The executable that lends the core what it lacks; null where none was found. */
  readonly executableFound: string | null;
  readonly threads: number;
  readonly mappings: number;
  /** The Go program in it; null where none can be read. */
  readonly target: Target | null;
  readonly warnings: readonly Warning[];
}

/** Looks at a core from end to end of what the analysis needs, and closes it. */
export function checkCore(core: Core, options: CoreFileOptions): CoreCheck {
  try {
    const problems = [...core.problems];
    const program = programOf(core, options, problems);
    return { ...factsOf(core), ...program, ok: problems.length === 0, problems };
  } finally {
    core.close();
  }
}

type Facts = Omit<CoreCheck, keyof ReturnType<typeof programOf> | 'ok' | 'problems'>;

function factsOf(core: Core): Facts {
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

function programOf(
  core: Core,
  options: CoreFileOptions,
  problems: string[],
): Pick<CoreCheck, 'target' | 'missing' | 'executable' | 'executableFound' | 'warnings'> {
  try {
    const { program, executable, close } = openCoreProgram(core, options);
    try {
      return { ...readAll(program), executable: program.image.executable, executableFound: executable };
    } finally {
      close();
    }
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    const bad = error.exitCode === ExitCode.badFile;
    if (bad) problems.push(error.message);
    const warnings = bad ? [] : [{ code: 'program-unreadable', message: error.message }];
    return { target: null, missing: null, executable: core.executable, executableFound: null, warnings };
  }
}

function readAll(program: GoProgram): Pick<CoreCheck, 'target' | 'missing' | 'warnings'> {
  const missing = missingOf(program);
  const target = targetOf(program);
  return { target, missing, warnings: [...program.image.capture.warnings, ...program.warnings] };
}

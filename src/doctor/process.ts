import { accessChecks, assertReachable } from '../../capture/process/permission.js';
import { liveThread, readStat, readStatus } from '../../capture/process/procfs.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { cloneHindrance } from '../../capture/clone/clone-capture.js';
import { forecastPause } from '../../capture/copy/pause-estimate.js';
import { predictedCloneMs } from '../../capture/copy/predict.js';
import type { CaptureMode } from '../../capture/capture.js';
import { openProgram } from '../../analyze/program.js';
import { targetOf } from '../../analyze/report/summary.js';
import type { Target } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import { GospyError, noGoProcess, permissionError } from '../../snapshots/errors.js';
import { pluralize } from '../render/text.js';
import { failed, passed, type Check } from './check.js';

/** Whether a capture mode would work on a process, and why not. */
export interface ModeVerdict {
  readonly mode: CaptureMode;
  readonly works: boolean;
  /** null where it works. */
  readonly reason: string | null;
  /** For how long the process would probably stand still; null where the mode does not work. */
  readonly predictedPauseNs: number | null;
}

/** What can be said of a process without stopping it. */
export interface ProcessDiagnosis {
  readonly pid: number;
  readonly checks: readonly Check[];
  readonly modes: readonly ModeVerdict[];
  /** null where it is no Go program, or may not be read. */
  readonly target: Target | null;
  readonly warnings: readonly Warning[];
  /** What a capture in mode `stop` would fail with. */
  readonly error: GospyError | null;
}

/** Looks at a process from outside: it is not stopped, and its memory is read only where the kernel permits a capture. */
export function diagnose(pid: number, machine: readonly Check[]): ProcessDiagnosis {
  const access = attempt(() => findings(pid));
  const readable = attempt(() => assertReachable(pid, 'read'));
  const program = readable.error === null ? attempt(() => programOf(pid)) : readable;
  const stoppable = attempt(() => {
    assertReachable(pid, 'stop');
    assertTracing(machine);
  });
  const checks = [...(access.value ?? [])];
  if (access.error !== null) {
    checks.push(failed('process', access.error.message, access.error.hint));
  } else if (program.value !== null) {
    const { bin, goVersion } = program.value.target;
    checks.push(passed('go', `${bin} is a Go program, built by Go ${goVersion}`));
  } else if (readable.error === null) {
    checks.push(failed('go', program.error.message, program.error.hint));
  }
  return {
    pid,
    checks,
    modes: [
      verdict('stop', stoppable.error ?? program.error, program.value?.stopNs ?? null),
      cloneVerdict(stoppable.error ?? program.error, program.value),
      verdict('live', program.error, 0),
    ],
    target: program.value?.target ?? null,
    warnings: program.value?.warnings ?? [],
    error: stoppable.error ?? program.error,
  };
}

/** Throws `permission` where no process at all can be traced from here, whatever the checks of this one say. */
function assertTracing(machine: readonly Check[]): void {
  const tracing = machine.find(({ name, ok }) => name === 'tracing' && ok === false);
  if (tracing === undefined) return;
  const { finding, advice } = tracing;
  throw permissionError(finding, advice === null ? {} : { hint: advice });
}

/** Throws `noGoProcess` where there is no process that could be a Go program. */
function findings(pid: number): Check[] {
  const { kernelThread, name } = readStat(pid);
  if (kernelThread) throw noGoProcess(`process ${pid} (${name}) is a kernel thread, and no Go program`);
  liveThread(pid);
  const { threadCount } = readStatus(pid);
  return [passed('process', `${name} runs, with ${pluralize(threadCount, 'thread')}`), ...accessChecks(pid)];
}

function verdict(mode: CaptureMode, error: GospyError | null, pauseNs: number | null): ModeVerdict {
  const works = error === null;
  return { mode, works, reason: error?.message ?? null, predictedPauseNs: works ? pauseNs : null };
}

/** Where a clone is hindered, a capture in this mode stops the process instead. */
function cloneVerdict(error: GospyError | null, program: Looked | null): ModeVerdict {
  const reason = program?.cloneHindrance ?? null;
  if (error !== null || reason === null) return verdict('clone', error, program?.cloneNs ?? null);
  return { mode: 'clone', works: false, reason, predictedPauseNs: null };
}

/** What was seen of a program while it ran, and what that lets expect. */
interface Looked {
  readonly target: Target;
  readonly warnings: readonly Warning[];
  readonly stopNs: number;
  readonly cloneNs: number;
  readonly cloneHindrance: string | null;
}

function programOf(pid: number): Looked {
  const process = new LiveProcess(pid, 'read');
  try {
    const program = openProgram(process.image());
    return {
      target: targetOf(program),
      warnings: program.warnings,
      stopNs: forecastPause(process),
      cloneNs: Math.round(predictedCloneMs(readStatus(pid).residentBytes) * 1e6),
      cloneHindrance: cloneHindrance(pid, program),
    };
  } finally {
    process.close();
  }
}

type Outcome<T> = { readonly value: T; readonly error: null } | { readonly value: null; readonly error: GospyError };

function attempt<T>(action: () => T): Outcome<T> {
  try {
    return { value: action(), error: null };
  } catch (error) {
    if (error instanceof GospyError) return { value: null, error };
    throw error;
  }
}

import { accessChecks } from '../../capture/process/access-checks.js';
import { readAccessFacts } from '../../capture/process/access-facts.js';
import { readFreeze } from '../../capture/process/frozen.js';
import { assertProcess, assertReachable } from '../../capture/process/permission.js';
import { hostArch, readStatus } from '../../capture/process/procfs.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { cloneHindrance } from '../../capture/clone/clone-hindrance.js';
import { frozenWarning } from '../../capture/copy/frozen-copy.js';
import { openLive } from '../../capture/copy/look-again.js';
import { lowerPriority } from '../../capture/ptrace/priority.js';
import { memoryLeft } from '../../capture/process/memory-left.js';
import { measureCopyMs, modelForkMs } from '../../capture/pause-estimate.js';
import type { CaptureMode } from '../../capture/capture.js';
import { runtimesOf, targetOfAll, warningsOf } from '../../analyze/report/all-runtimes.js';
import type { Runtime, Target } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import { GospyError, permissionError } from '../../snapshots/errors.js';
import { pluralize } from '../render/text.js';
import { fail, pass, type Check } from './check.js';
import { checkCpu, checkMemory } from './limits.js';
import { canTrace } from './machine.js';

/** Whether a capture mode would work on a process, and why not. */
export interface ModeVerdict {
  readonly mode: CaptureMode;
  readonly works: boolean;
  /** null if it works. */
  readonly reason: string | null;
  /** How long the process would probably stand still; null if the mode does not work. */
  readonly predictedPauseNs: number | null;
}

/** What can be found out about a process without stopping it. */
export interface ProcessDiagnosis {
  readonly pid: number;
  readonly checks: readonly Check[];
  readonly modes: readonly ModeVerdict[];
  /** null if it is not a Go program, or may not be read. */
  readonly target: Target | null;
  readonly runtimes: readonly Runtime[];
  readonly warnings: readonly Warning[];
  /** The error of a capture in mode `stop`; null if it would succeed. */
  readonly error: GospyError | null;
}

/**
 * Looks at a process without stopping it. Reads its memory only if the kernel permits a capture. `threadMs` is what it takes
 * to stop a thread and let it go.
 */
export function diagnose(pid: number, machine: readonly Check[], threadMs: number): ProcessDiagnosis {
  const access = attempt(() => checkAccess(pid, canTrace(machine)));
  const readable = attempt(() => assertReachable(pid, 'read'));
  const program = readable.error === null ? attempt(() => examine(pid, threadMs)) : readable;
  const stoppable = attempt(() => {
    assertReachable(pid, 'stop');
    assertTracing(pid, machine);
  });
  const checks = [...(access.value ?? [])];
  if (access.error !== null) {
    checks.push(fail('process', access.error.message, access.error.hint));
  } else if (program.value !== null) {
    for (const { file, goVersion } of program.value.runtimes) {
      checks.push(pass('go', `${file} is a Go program, built by Go ${goVersion}`));
    }
    checks.push(...program.value.limits);
  } else if (readable.error === null) {
    checks.push(fail('go', program.error.message, program.error.hint));
  }
  const refused = program.error ?? program.value.refused;
  return {
    pid,
    checks,
    modes: [
      judgeMode('stop', stoppable.error ?? refused, program.value?.stopNs ?? null),
      judgeClone(stoppable.error ?? refused, program.value),
      judgeMode('live', refused, 0),
    ],
    target: program.value?.target ?? null,
    runtimes: program.value?.runtimes ?? [],
    warnings: program.value?.warnings ?? [],
    error: stoppable.error ?? refused,
  };
}

/** Throws `permission` if no process can be traced from here, whatever the checks of this one say. */
function assertTracing(pid: number, machine: readonly Check[]): void {
  const tracing = machine.find(({ name, ok }) => name === 'tracing' && ok === false);
  if (tracing === undefined) return;
  const { finding, advice } = tracing;
  throw permissionError(`Process ${pid} cannot be stopped: ${finding}.`, advice === null ? {} : { hint: advice });
}

/** Throws `noGoProcess` if there is no process that could be a Go program, and `permission` if that cannot be seen. */
function checkAccess(pid: number, tracing: boolean | null): Check[] {
  assertProcess(pid);
  const { name, threadCount, isDumpingCore } = readStatus(pid);
  const freeze = readFreeze(pid, hostArch());
  const moves = isDumpingCore ? 'has crashed, and its core is being written' : 'runs';
  const does = freeze === null ? moves : `is frozen ${freeze.by}`;
  return [
    pass('process', `${name} ${does}, with ${pluralize(threadCount, 'thread')}`),
    ...accessChecks(readAccessFacts(pid, tracing)),
  ];
}

function judgeMode(mode: CaptureMode, error: GospyError | null, pauseNs: number | null): ModeVerdict {
  const works = error === null;
  return { mode, works, reason: error?.message ?? null, predictedPauseNs: works ? pauseNs : null };
}

/** If something prevents a clone, a capture in that mode stops the process instead. */
function judgeClone(error: GospyError | null, program: Examined | null): ModeVerdict {
  const reason = program?.cloneHindrance ?? null;
  if (error !== null || reason === null) return judgeMode('clone', error, program?.cloneNs ?? null);
  return { mode: 'clone', works: false, reason, predictedPauseNs: null };
}

/** What was found in a running Go program, and what to expect of a capture. Times are in nanoseconds. */
interface Examined {
  readonly target: Target;
  readonly runtimes: readonly Runtime[];
  readonly warnings: readonly Warning[];
  /** What the limits that gospy runs under mean for a capture, and why it would be refused. */
  readonly limits: readonly Check[];
  readonly refused: GospyError | null;
  readonly stopNs: number;
  readonly cloneNs: number;
  readonly cloneHindrance: string | null;
}

/** Throws GospyError if the process is not a Go program, or is not understood. */
function examine(pid: number, threadMs: number): Examined {
  const process = new LiveProcess(pid, 'read');
  lowerPriority();
  try {
    const programs = openLive(process);
    const { check, error: refused } = checkMemory(programs, memoryLeft('self'));
    const limits = [check, checkCpu(process.quota)];
    const about = { target: targetOfAll(programs), runtimes: runtimesOf(programs), limits, refused };
    const warnings = warningsOf(programs);
    const freeze = readFreeze(pid, process.arch);
    if (freeze !== null) {
      return { ...about, warnings: [...warnings, frozenWarning(freeze)], stopNs: 0, cloneNs: 0, cloneHindrance: null };
    }
    const { threadCount, residentBytes } = readStatus(pid);
    const stopMs = threadCount * threadMs;
    return {
      ...about,
      warnings,
      stopNs: toNs(stopMs + measureCopyMs(process)),
      cloneNs: toNs(stopMs + modelForkMs(process.mappings.length, residentBytes)),
      cloneHindrance: cloneHindrance(pid, programs),
    };
  } finally {
    process.close();
  }
}

function toNs(ms: number): number {
  return Math.round(ms * 1e6);
}

type Outcome<T> = { readonly value: T; readonly error: null } | { readonly value: null; readonly error: GospyError };

/** The value that an action returns, or the GospyError that it throws. */
function attempt<T>(action: () => T): Outcome<T> {
  try {
    return { value: action(), error: null };
  } catch (error) {
    if (error instanceof GospyError) return { value: null, error };
    throw error;
  }
}

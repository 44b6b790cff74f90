import { noGoProcess } from '../../snapshots/errors.js';
import type { Arch } from '../../snapshots/arch.js';
import { readStatus } from '../process/procfs.js';
import { raisePriority } from './priority.js';
import { collectGarbage } from './garbage.js';
import { keepRunning } from './keep-running.js';
import type { StoppedThread } from './tracee.js';
import { enterRealTime } from './real-time.js';
import { Tracees } from './tracees.js';
import { armWatchdog, SEIZE_LIMIT_SECONDS, within } from './watchdog.js';

const DEFAULT_TIMEOUT_MS = 300;
/** Late threads keep nobody else waiting: on a busy machine, some take a second and more until they have a CPU. */
const LATE_TIMEOUT_MS = 3000;
/** The body is run so often while threads are found that ran meanwhile. Then it waits until all have trapped. */
const MAX_TRIES = 3;
const DEFAULT_HARD_LIMIT_SECONDS = 5;
/** One second more for so many threads: each takes about 0.03 ms, and several times that on a busy machine. */
const THREADS_PER_SECOND = 5000;

export interface StopOptions {
  readonly arch: Arch;
  /** How long the process may stand still, in milliseconds. Bounds the wait for threads; `body` gets its end. */
  readonly budgetMs?: number;
  /** How long to wait once all threads were asked to stop, in milliseconds. One that has not by then is not stopped. */
  readonly timeoutMs?: number;
  /**
   * Whole seconds after which SIGALRM ends gospy if it is stuck in the stop: its death is what lets the process go then. Two
   * ways to get stuck are known: a page of the process on a file system that does not answer, and an execve between the
   * first SEIZE and the last, at which the kernel makes the tracer and the process wait for each other. The latter is given
   * two seconds at most.
   */
  readonly hardLimitSeconds?: number;
  /** Stops only the thread of this id, and leaves the others running. */
  readonly only?: number;
  /**
   * Makes the stop a logical one: `body` is called shortly after all threads were asked to stop, whether or not they have
   * trapped. Until it has, no thread executes an instruction of its own, so that the memory stands still already; what
   * changes is at most what a system call that is under way writes. Gets each thread that traps later than that, with its
   * registers, just before it is let go.
   */
  readonly late?: (thread: StoppedThread) => void;
  /**
   * Threads without which `body` can do nothing, and which of them it can use: one of these stops before the others are
   * asked to, so that nothing else waits for it.
   */
  readonly first?: { readonly tids: readonly number[]; readonly isReady: (thread: StoppedThread) => boolean };
  /** Calls `body` once only. If a thread ran meanwhile, `isTorn` of the result says so. */
  readonly once?: boolean;
  /** Keeps other processes from taking the CPU from gospy meanwhile. For a single, logical stop. */
  readonly realTime?: boolean;
}

/** The result of a stop. */
export interface Stop<T> {
  /** What `body` returned. */
  readonly value: T;
  /** Every thread that was alive when the last one had stopped. */
  readonly threads: readonly StoppedThread[];
  /**
   * From just before the first thread was interrupted until the last one was let go, of those that had trapped by the end of
   * `body`.
   */
  readonly pauseNs: number;
  /** Threads that had not trapped by then, and the longest that one of them stood still between its trap and its release. */
  readonly lateThreads: number;
  readonly longestLateNs: number;
  /** True if, with `once`, a thread ran while `body` did. */
  readonly isTorn: boolean;
}

/**
 * Stops every thread of a process, calls `body`, and lets the threads go on every path out. `body` must be synchronous and
 * short, and should allocate nothing: the process stands still all the while. It gets the threads and the end of the budget,
 * as a time of performance.now(). Threads that did not stop in time have `stopped` false; they are let go as soon as the
 * kernel permits. In a logical stop, `body` may be called again if a thread is found that ran meanwhile.
 *
 * Throws `permission` if the kernel refuses every thread, and `noGoProcess` if the process has ended, or has crashed and its
 * core is being written.
 */
export function withStopped<T>(
  pid: number,
  options: StopOptions,
  body: (threads: readonly StoppedThread[], deadline: number) => T,
): Stop<T> {
  const { late, first, budgetMs = Infinity, timeoutMs = DEFAULT_TIMEOUT_MS, realTime } = options;
  const tracees = new Tracees(pid, options.arch, options.only);
  const more = Math.floor(tracees.expected / THREADS_PER_SECOND);
  const hardLimit = options.hardLimitSeconds ?? DEFAULT_HARD_LIMIT_SECONDS + more;
  collectGarbage();
  let done: { readonly value: T; readonly isTorn: boolean };
  const restorePriority = raisePriority();
  const leaveRealTime = realTime === true ? enterRealTime() : () => undefined;
  const restoreSignals = keepRunning();
  const watchdog = armWatchdog(hardLimit);
  try {
    assertDumpsNoCore(pid);
    const seizedAt = process.hrtime.bigint();
    let begun: bigint;
    try {
      within(SEIZE_LIMIT_SECONDS + more, () => {
        tracees.seizeAll();
      });
      begun =
        first === undefined
          ? process.hrtime.bigint()
          : tracees.stopFirst(first.tids, first.isReady, performance.now() + timeoutMs);
      const end = performance.now() + budgetMs;
      tracees.interruptAll();
      done = runStopped(tracees, options, end, body);
    } finally {
      tracees.release();
    }
    if (late !== undefined) tracees.releaseTrapped(late);
    const ended = process.hrtime.bigint();
    if (tracees.lateThreads > 0) watchdog.rearm(hardLimit);
    if (late !== undefined) tracees.serveLate(performance.now() + (options.timeoutMs ?? LATE_TIMEOUT_MS), late);
    const { lateThreads, longestLateNs } = tracees;
    const threads = livingThreads(tracees);
    const pauseNs = Number(ended - (tracees.hasCloned ? seizedAt : begun));
    return { ...done, threads, pauseNs, lateThreads, longestLateNs };
  } finally {
    watchdog.disarm();
    leaveRealTime();
    restorePriority();
    tracees.settle();
    restoreSignals();
  }
}

/** Calls `body` once the threads have stopped; in a logical stop, once none of them runs on. */
function runStopped<T>(
  tracees: Tracees,
  { late, once = false, timeoutMs = DEFAULT_TIMEOUT_MS }: StopOptions,
  end: number,
  body: (threads: readonly StoppedThread[], deadline: number) => T,
): { readonly value: T; readonly isTorn: boolean } {
  for (let tries = 1; ; tries++) {
    const waits = late === undefined || tries > MAX_TRIES;
    const deadline = Math.min(performance.now() + timeoutMs, end);
    if (waits) tracees.waitForAll(deadline);
    const haveAllStopped = waits || tracees.look(deadline);
    const value = body(livingThreads(tracees), end);
    const isTorn = !haveAllStopped && tracees.findStrangers();
    if (once || !isTorn) return { value, isTorn };
  }
}

function livingThreads(tracees: Tracees): readonly StoppedThread[] {
  const threads = tracees.threads();
  if (threads.length > 0) return threads;
  throw noGoProcess(`Process ${tracees.pid} ended, or became another program, as it was stopped.`);
}

/**
 * A thread that is asked to stop has a signal pending, for the kernel's writes to a pipe too: the core that it is just handing to
 * a crash reporter would be cut short (pipe_write in fs/pipe.c).
 */
function assertDumpsNoCore(pid: number): void {
  if (!readStatus(pid).isDumpingCore) return;
  throw noGoProcess(`Process ${pid} has crashed, and the kernel is writing its core, which a stop could cut short.`, {
    hint: '`--mode live` reads the process without a stop.',
  });
}

import { noGoProcess } from '../../snapshots/errors.js';
import type { Arch } from '../../snapshots/arch.js';
import { raisePriority } from './priority.js';
import { collectGarbage } from './garbage.js';
import { Tracees, type StoppedThread } from './tracees.js';
import { armWatchdog } from './watchdog.js';

const DEFAULT_TIMEOUT_MS = 300;
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
   * first SEIZE and the last, at which the kernel makes the tracer and the process wait for each other.
   */
  readonly hardLimitSeconds?: number;
  /** Stops only the thread of this id, and leaves the others running. */
  readonly only?: number;
}

/** The result of a stop. */
export interface Stop<T> {
  /** What `body` returned. */
  readonly value: T;
  /** Every thread that was alive when the last one had stopped. */
  readonly threads: readonly StoppedThread[];
  /** From just before the first thread was interrupted until the last one was let go. */
  readonly pauseNs: number;
}

/**
 * Stops every thread of a process, calls `body`, and lets the threads go on every path out. `body` must be synchronous and
 * short, and should allocate nothing: the process stands still all the while. It gets the threads and the end of the budget,
 * as a time of performance.now(). Threads that did not stop in time have `stopped` false; they are let go as soon as the
 * kernel permits.
 *
 * Throws `permission` if the kernel refuses every thread, and `noGoProcess` if the process has ended.
 */
export function withStopped<T>(
  pid: number,
  options: StopOptions,
  body: (threads: readonly StoppedThread[], deadline: number) => T,
): Stop<T> {
  const tracees = new Tracees(pid, options.arch, options.only);
  const budgetMs = options.budgetMs ?? Infinity;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  collectGarbage();
  let begun = 0n;
  let ended = 0n;
  let value: T;
  let threads: readonly StoppedThread[];
  const restorePriority = raisePriority();
  const disarm = armWatchdog(options.hardLimitSeconds ?? hardLimitSeconds(tracees.expected));
  try {
    tracees.seizeAll();
    begun = process.hrtime.bigint();
    const begunMs = performance.now();
    tracees.interruptAll();
    tracees.waitForAll(Math.min(performance.now() + timeoutMs, begunMs + budgetMs));
    threads = tracees.threads();
    if (threads.length === 0) throw noGoProcess(`Process ${pid} ended, or became another program, as it was stopped.`);
    value = body(threads, begunMs + budgetMs);
  } finally {
    tracees.release();
    ended = process.hrtime.bigint();
    disarm();
    restorePriority();
    tracees.settle();
  }
  return { value, threads, pauseNs: Number(ended - begun) };
}

function hardLimitSeconds(threads: number): number {
  return DEFAULT_HARD_LIMIT_SECONDS + Math.floor(threads / THREADS_PER_SECOND);
}

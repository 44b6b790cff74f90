import { readFileSync } from 'node:fs';
import { availableParallelism, getPriority, setPriority } from 'node:os';
import { Policy, schedulingPolicy, setSchedulingPolicy } from '../libc.js';
import { ownThreads } from '../process/own-proc.js';
import { threadState, threadTurns } from '../process/procfs.js';

/** Of the main thread outside the stop: with every CPU busy, it gets a third of the time that a thread of the target gets. */
const LOW_PRIORITY = 5;
/** The highest without a real-time class, in which a tracer that polls would starve its own target. */
const HIGHEST_PRIORITY = -20;

/** Gospy has been polite enough once its threads have waited for a CPU for so many nanoseconds, ... */
const LEAST_WAITED_NS = 2e9;
/** ... and for so many times as long as they had one. */
const MOST_WAITS = 4;
/** How often the load of the machine is looked at beside the steps of the work, in milliseconds. */
const REVIEW_MS = 250;

/** What decides about a lowered priority. */
interface Load {
  /** Whether a CPU is free for SCHED_IDLE; null where that cannot be used. */
  readonly isFree: (() => boolean) | null;
  readonly isStarved: () => boolean;
  /** The nice value that gospy was started with. */
  readonly usual: number;
}

/** null unless the priority is lowered. */
let lowered: Load | null = null;

/**
 * Lowers gospy's priority below the target's, if it may raise it again for the stop: what is done before and after the stop
 * then takes as little as possible from the target. Returns an undo, which does nothing if the priority was low already.
 *
 * The main thread is given nice 5, with which it cannot starve: the whole command waits for it. Its helpers (V8's compiler and
 * collector, libuv's pool) are given SCHED_IDLE: a thread of the target that wakes up mostly takes their CPU at once, and not after
 * a slice of 3 to 4 ms as with every nice. While no CPU is free, `isFree` says false, and the helpers are given nice 5 too: the main
 * thread waits for some of what they do, and in SCHED_IDLE they would get a thousandth of a busy CPU. While `isStarved` says that
 * gospy has waited for too long, all have the priority that gospy was started with, so that it ends on a saturated machine too.
 */
export function lowerPriority(isFree: () => boolean = hasFreeCpu, isStarved: () => boolean = hasStarved): () => void {
  if (lowered !== null || !mayRaise()) return () => undefined;
  const usual = getPriority();
  const isIdleUsable = mayLeaveIdle();
  lowered = { isFree: isIdleUsable ? isFree : null, isStarved, usual };
  reviewPriority();
  const timer = setInterval(reviewPriority, REVIEW_MS).unref();
  // On a busy machine, what is in SCHED_IDLE takes long to end.
  process.once('exit', reviewPriority);
  return () => {
    clearInterval(timer);
    process.off('exit', reviewPriority);
    lowered = null;
    setThreads(usual, isIdleUsable ? Policy.other : null);
  };
}

/**
 * Looks again whether a CPU is free for SCHED_IDLE, whether gospy starves, and which threads it has. Does nothing while the
 * priority is not lowered. To be called between the steps of long work, since the load of a machine comes and goes; while the
 * main thread waits for its helpers, and before gospy ends, it is called by itself.
 */
export function reviewPriority(): void {
  if (lowered === null) return;
  const { isFree, isStarved, usual } = lowered;
  const starves = isStarved();
  const helpers = !starves && isFree?.() === true ? Policy.idle : Policy.other;
  setThreads(starves ? usual : Math.max(usual, LOW_PRIORITY), isFree === null ? null : helpers);
}

/**
 * The class of the calling thread in a stop: above the busy threads of the machine, if gospy may. This also leaves SCHED_IDLE, in
 * which gospy may have been started. Returns an undo.
 */
export function raisePriority(): () => void {
  const before = getPriority();
  try {
    setPriority(HIGHEST_PRIORITY);
  } catch {
    return () => undefined;
  }
  const wasIdle = schedulingPolicy(0) === Policy.idle;
  if (wasIdle) setSchedulingPolicy(0, Policy.other);
  return () => {
    if (wasIdle) setSchedulingPolicy(0, Policy.idle);
    setPriority(before);
  };
}

/** Whether a lowered priority can be raised again: that takes CAP_SYS_NICE or a large enough RLIMIT_NICE. */
function mayRaise(): boolean {
  const undo = raisePriority();
  const isRaised = getPriority() === HIGHEST_PRIORITY;
  undo();
  return isRaised;
}

/**
 * Whether SCHED_IDLE, once entered, can be left again, given that the priority may be raised: to the kernel, that is the
 * same right (is_nice_reduction in kernel/sched/syscalls.c; can_nice before Linux 6.4). A filter of system calls may refuse
 * the call. A gospy that was started in another class stays in it.
 */
function mayLeaveIdle(): boolean {
  return schedulingPolicy(0) === Policy.other && setSchedulingPolicy(0, Policy.other);
}

/**
 * Gives all threads of gospy a priority and, unless it is null, all but the main one a policy. Linux has both for each thread;
 * a new thread or process inherits those of the thread that made it.
 */
function setThreads(priority: number, helpers: Policy | null): void {
  for (const tid of ownThreads()) {
    try {
      setPriority(tid, priority);
    } catch {
      continue; // It has ended.
    }
    if (helpers !== null && tid !== process.pid) setSchedulingPolicy(tid, helpers);
  }
}

/** Whether fewer threads of other programs want to run than there are CPUs. */
function hasFreeCpu(): boolean {
  try {
    // "0.20 0.18 0.12 3/11 11": the fourth field begins with how many threads run or wait for a CPU, gospy's own with them.
    const runnable = Number(/ (\d+)\//.exec(readFileSync('/proc/loadavg', 'latin1'))?.[1]);
    return runnable - ownThreads().filter(isRunnable).length < availableParallelism();
  } catch {
    return false;
  }
}

/**
 * Whether gospy's threads have waited for CPUs for much longer than they had them. It is so again and again, and not for good: what
 * they get then makes up for it. Where the kernel does not count that, it never is.
 */
function hasStarved(): boolean {
  let [ranNs, waitedNs] = [0, 0];
  for (const tid of ownThreads()) {
    const [ran, waited] = threadTurns(process.pid, tid);
    ranNs += ran;
    waitedNs += waited;
  }
  return waitedNs > LEAST_WAITED_NS && waitedNs > MOST_WAITS * ranNs;
}

/** Whether a thread of gospy runs or waits for a CPU. */
function isRunnable(tid: number): boolean {
  return threadState(process.pid, tid) === 'R';
}

import { readFileSync } from 'node:fs';
import { availableParallelism, getPriority, setPriority } from 'node:os';
import { Policy, schedulingPolicy, setSchedulingPolicy } from '../libc.js';
import { ownThreads } from '../process/own-proc.js';
import { threadState } from '../process/procfs.js';

/** Of the main thread outside the stop: with every CPU busy, it gets a third of the time that a thread of the target gets. */
const LOW_PRIORITY = 5;
/** The highest without a real-time class, in which a tracer that polls would starve its own target. */
const HIGHEST_PRIORITY = -20;

/** Whether the priority is lowered and, if so, whether a CPU is free for SCHED_IDLE. */
let lowered: { readonly isFree: (() => boolean) | null } | null = null;

/**
 * Lowers gospy's priority below the target's, if it may raise it again for the stop: what is done before and after the stop
 * then takes as little as possible from the target. Returns an undo, which does nothing if the priority was low already.
 *
 * The main thread is given nice 5, with which it cannot starve: the whole command waits for it. Its helpers (V8's compiler and
 * collector, libuv's pool) are given SCHED_IDLE: a thread of the target that wakes up takes their CPU at once, and not after
 * a slice of 3 to 4 ms as with every nice. While no CPU is free, `isFree` says false, and they are given nice 5 too: the main
 * thread waits for some of what they do, and in SCHED_IDLE they would get a thousandth of a busy CPU.
 */
export function lowerPriority(isFree: () => boolean = hasFreeCpu): () => void {
  if (lowered !== null || !mayRaise()) return () => undefined;
  const before = getPriority();
  const isIdleUsable = mayLeaveIdle();
  lowered = { isFree: isIdleUsable ? isFree : null };
  reviewPriority();
  return () => {
    lowered = null;
    setThreads(before, isIdleUsable ? Policy.other : null);
  };
}

/**
 * Looks again whether a CPU is free for SCHED_IDLE, and which threads gospy has. Does nothing while the priority is not
 * lowered. To be called between the steps of long work: the load of a machine comes and goes.
 */
export function reviewPriority(): void {
  if (lowered === null) return;
  const { isFree } = lowered;
  setThreads(LOW_PRIORITY, isFree === null ? null : isFree() ? Policy.idle : Policy.other);
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
  const wasIdle = schedulingPolicy(0) === Policy.idle && setSchedulingPolicy(0, Policy.other);
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

/** Whether a thread of gospy runs or waits for a CPU. */
function isRunnable(tid: number): boolean {
  return threadState(process.pid, tid) === 'R';
}

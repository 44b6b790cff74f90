import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** On a machine without an idle CPU, gospy then gets a third of the time that a thread of the target gets. */
const LOW_PRIORITY = 5;
/** The highest without a real-time class, in which a tracer that polls would starve its own target. */
const HIGHEST_PRIORITY = -20;

/**
 * Lowers gospy's priority below the target's, if it may raise it again for the stop: what is done before and after the stop
 * then takes no CPU time from the target. Returns an undo.
 */
export function lowerPriority(): () => void {
  const before = getPriority();
  const undo = raisePriority();
  if (getPriority() !== HIGHEST_PRIORITY) return () => undefined;
  undo();
  setThreads(LOW_PRIORITY);
  return () => {
    setThreads(before);
  };
}

/** Raises the calling thread's priority above the busy threads of the machine, if gospy may. Returns an undo. */
export function raisePriority(): () => void {
  const before = getPriority();
  try {
    setPriority(HIGHEST_PRIORITY);
  } catch {
    return () => undefined;
  }
  return () => {
    setPriority(before);
  };
}

/** Linux gives each thread a priority of its own; a new thread inherits that of the thread that made it. */
function setThreads(priority: number): void {
  for (const tid of readdirSync('/proc/self/task')) {
    try {
      setPriority(Number(tid), priority);
    } catch {
      // It has ended.
    }
  }
}

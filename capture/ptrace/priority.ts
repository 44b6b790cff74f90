import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** On a machine without an idle CPU, gospy then has a third of the time that a thread of the target has. */
const COURTEOUS_PRIORITY = 5;
/** The highest there is without a real-time class, in which a tracer that polls would starve its own target. */
const HIGHEST_PRIORITY = -20;

/**
 * Puts all threads of gospy behind those of the target, where gospy may come to the front again for the stop: what is
 * done ahead of it and behind it takes nobody's turn. Answers how to undo that.
 */
export function lowerPriority(): () => void {
  const before = getPriority();
  const undo = raisePriority();
  if (getPriority() !== HIGHEST_PRIORITY) return () => undefined;
  undo();
  setThreads(COURTEOUS_PRIORITY);
  return () => {
    setThreads(before);
  };
}

/** Lifts gospy above the busy threads of the machine where it may; answers how to undo that. */
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

/** To the kernel, priorities are the threads' own, and a new thread has that of the one that made it. */
function setThreads(priority: number): void {
  for (const tid of readdirSync('/proc/self/task')) {
    try {
      setPriority(Number(tid), priority);
    } catch {
      // It has ended.
    }
  }
}

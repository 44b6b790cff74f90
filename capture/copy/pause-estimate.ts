import { Copy } from './copy.js';
import { makePlan, survey } from './plan.js';
import type { LiveProcess } from '../process/live-process.js';

/** Stopping and releasing took 0.15 ms and 13 us a thread, measured up to 504 threads. */
const STOP_MS = 0.15;
const THREAD_MS = 0.013;
/** The best of these: the others are of code that was not compiled yet, or of a machine that was busy. */
const ROUNDS = 8;
const ROUNDS_MS = 400;

/**
 * For how many nanoseconds a capture would probably stop a process: what is read in the stop is read while it runs.
 * Nothing is stopped here. Throws as {@link survey} does.
 */
export function forecastPause(target: LiveProcess): number {
  const surveyed = survey(target.image(), (names) => target.structs(names));
  const copy = new Copy(makePlan(surveyed, target.memory()), target);
  const until = performance.now() + ROUNDS_MS;
  let bestMs = Infinity;
  for (let i = 0; i < ROUNDS && (i < 2 || performance.now() < until); i++) {
    copy.readAhead();
    const begun = performance.now();
    copy.readStopped([]);
    bestMs = Math.min(bestMs, performance.now() - begun);
  }
  return Math.round((bestMs + STOP_MS + THREAD_MS * target.threads().length) * 1e6);
}

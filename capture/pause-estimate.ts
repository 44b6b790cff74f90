import { Copy } from './copy/copy.js';
import { makePlan, survey } from './copy/plan.js';
import type { LiveProcess } from './process/live-process.js';

/**
 * How long a capture would make a process stand still, in milliseconds. {@link measureStopMs} reads what a stop would read
 * and takes the time; the models only compute, which is good enough to compare the modes. The constants were measured on
 * one machine with 2 cores (Linux 6.18), on Go 1.26 programs whose goroutines are parked.
 */

/** Stopping all threads and letting them go: medians of 0.2 ms with 5 threads, 0.9 ms with 55, 6.7 ms with 504. */
const THREADS_MS = 0.15;
const MS_PER_THREAD = 0.013;

/** What every stop reads: pauses of 0.62 ms with 1,000 goroutines and 7 threads, less the parts above and below. */
const READ_MS = 0.21;
/** Reading a g again and comparing it: pauses of 17.5 ms with 100,000 goroutines. */
const READ_MS_PER_GOROUTINE = 1.7e-4;

/** Injecting a clone3 into a process of 3 MB: pauses of 0.9 ms with 7 threads, less the time that the threads take. */
const CLONE_MS = 0.61;
/** Copying the page tables of what is resident: pauses of 6 to 8 ms with 268 MB, and 20 to 33 ms with 1 GB. */
const CLONE_MS_PER_MB = 0.02;
const MB = 2 ** 20;

/** The best of so many rounds counts: in the others the code was not compiled yet, or the machine was busy. */
const ROUNDS = 8;
const ROUNDS_MS = 400;

/** Models the pause of a capture in mode stop. */
export function modelStopMs(threads: number, goroutines: number): number {
  return threadsMs(threads) + READ_MS + goroutines * READ_MS_PER_GOROUTINE;
}

/** Models the pause of a capture in mode clone. */
export function modelCloneMs(threads: number, residentBytes: number): number {
  return threadsMs(threads) + CLONE_MS + (residentBytes / MB) * CLONE_MS_PER_MB;
}

/** Measures the pause of a capture in mode stop, without stopping the process. Throws as {@link survey} does. */
export function measureStopMs(target: LiveProcess): number {
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
  return bestMs + threadsMs(target.threads().length);
}

function threadsMs(threads: number): number {
  return THREADS_MS + threads * MS_PER_THREAD;
}

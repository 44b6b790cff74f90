import type { GoProgram } from '../analyze/program.js';
import type { ThreadPosition } from '../analyze/runtime/memory-ranges.js';
import { onFault } from '../snapshots/memory.js';
import { Copies } from './copy/copies.js';
import { planLive, surveyLive } from './copy/look-again.js';
import type { LiveProcess } from './process/live-process.js';

/**
 * What a process would stand still for, in milliseconds. In every mode but live, all threads are stopped: what that takes
 * is measured on another process, see thread-cost.ts. What a stop copies is measured too. What a fork takes cannot be
 * tried: it is modelled, and so is the copy where the two are to be compared. The constants were measured on one machine
 * with 2 cores (Linux 6.18), on Go 1.26 programs whose goroutines are parked or whose threads are in C code.
 */

/** What every stop reads: pauses of 0.62 ms with 1,000 goroutines and 7 threads, less the parts above and below. */
const COPY_MS = 0.21;
/** Reading a g again and comparing it: pauses of 17.5 ms with 100,000 goroutines. */
const COPY_MS_PER_GOROUTINE = 1.7e-4;
/** An M with its g0, and the end of its stack, in pages of its own: 66 ms with 10,000 threads in C. */
const COPY_MS_PER_THREAD = 6e-3;

/** Injecting a clone3 into a process of 3 MB: pauses of 0.9 ms with 7 threads, less the time that the threads take. */
const FORK_MS = 0.61;
/** Copying the page tables of what is resident: pauses of 6 to 8 ms with 268 MB, and 20 to 33 ms with 1 GB. */
const FORK_MS_PER_MB = 0.02;
/** Copying a mapping and the page table that it has for itself: 10 ms with 2,081, 35 with 6,080, 108 with 20,084. */
const FORK_MS_PER_MAPPING = 5e-3;
const MB = 2 ** 20;

/** The best of so many rounds counts: in the others the code was not compiled yet, or the machine was busy. */
const ROUNDS = 8;
const ROUNDS_MS = 400;

/** Models what a stop copies, beside stopping the threads. */
export function modelCopyMs(threads: number, goroutines: number): number {
  return COPY_MS + threads * COPY_MS_PER_THREAD + goroutines * COPY_MS_PER_GOROUTINE;
}

/** Models a fork, beside stopping the threads. */
export function modelForkMs(mappings: number, residentBytes: number): number {
  return FORK_MS + mappings * FORK_MS_PER_MAPPING + (residentBytes / MB) * FORK_MS_PER_MB;
}

/**
 * Measures what a stop copies, beside stopping the threads, without stopping the process: every thread is taken to be where
 * it last left Go. Throws as {@link surveyLive} does.
 */
export function measureCopyMs(target: LiveProcess): number {
  const surveyed = surveyLive(target, (names) => target.structs(names));
  const copies = new Copies(surveyed, planLive(surveyed, target), target);
  const threads = surveyed.programs.flatMap(positions);
  const until = performance.now() + ROUNDS_MS;
  let bestMs = Infinity;
  for (let i = 0; i < ROUNDS && (i < 2 || performance.now() < until); i++) {
    copies.readAhead();
    const begun = performance.now();
    copies.readStopped(threads);
    bestMs = Math.min(bestMs, performance.now() - begun);
  }
  return bestMs;
}

function positions({ machines, goroutineReader }: GoProgram): ThreadPosition[] {
  return machines.flatMap(({ procid, g0 }) =>
    onFault(
      () => [{ namespaceTid: procid, sp: goroutineReader.read(g0).sched.sp }],
      () => [],
    ),
  );
}

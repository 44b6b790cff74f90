/** How long a process will stand still, in milliseconds, as measured on one machine: good for comparing modes. */

/** Stopping and letting go of some threads. */
const STOP_MS = 0.45;
/** Of each goroutine, its g is read again in the stop and looked at. */
const STOP_MS_PER_GOROUTINE = 1.7e-4;
/** Three stops of one thread, and a fork of nearly nothing. */
const CLONE_MS = 0.85;
/** A fork copies the page tables of what is resident. */
const CLONE_MS_PER_MB = 0.02;
const MB = 2 ** 20;

export function predictedStopMs(goroutines: number): number {
  return STOP_MS + goroutines * STOP_MS_PER_GOROUTINE;
}

export function predictedCloneMs(residentBytes: number): number {
  return CLONE_MS + (residentBytes / MB) * CLONE_MS_PER_MB;
}

/** Shortest sleep that a futex takes, in milliseconds; the kernel's timer slack adds about 50 us. */
const SLEEP_MS = 0.02;

const word = new Int32Array(new SharedArrayBuffer(4));

/** Leaves the CPU to others: on a busy machine, a tracer that spins keeps the threads that are to stop from stopping. */
export function sleep(ms = SLEEP_MS): void {
  Atomics.wait(word, 0, 0, ms);
}

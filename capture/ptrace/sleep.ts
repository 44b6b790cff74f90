/** Shortest nap that a futex takes, in milliseconds; the kernel's timer slack adds about 50 us. */
const NAP_MS = 0.02;

const napped = new Int32Array(new SharedArrayBuffer(4));

/** Leaves the CPU to the threads that are to stop: on a busy machine a tracer that spins keeps them from it. */
export function sleep(): void {
  Atomics.wait(napped, 0, 0, NAP_MS);
}

/** Shortest sleep that a futex takes, in milliseconds; the kernel's timer slack adds about 50 us. */
const SLEEP_MS = 0.02;
/** Looks in a row that show no change before gospy leaves the CPU to those that it waits for. */
const SPINS = 3;

const word = new Int32Array(new SharedArrayBuffer(4));

/** Leaves the CPU to others: on a busy machine, a tracer that spins keeps the threads that are to stop from stopping. */
export function sleep(ms = SLEEP_MS): void {
  Atomics.wait(word, 0, 0, ms);
}

/** How often to look at what others are to do: again at once while each look finds that less is left, and then less often. */
export class Pace {
  #left = Infinity;
  #idle = 0;

  /** True once some looks in a row showed no change. */
  get isIdle(): boolean {
    return this.#idle > SPINS;
  }

  /** Follows each look. Sleeps if that has become idle. */
  rest(left: number): void {
    this.#idle = left < this.#left ? 0 : this.#idle + 1;
    this.#left = left;
    if (this.isIdle) sleep();
  }
}

import { setFlagsFromString } from 'node:v8';
import { ownThreads } from '../process/own-proc.js';
import { threadState } from '../process/procfs.js';
import { sleep } from '../process/sleep.js';

/** How soon V8 hands functions to its optimizing compilers. */
interface Eagerness {
  /** Flags that V8 looks at each time, and that may be changed at any time. */
  readonly late: readonly string[];
  readonly early: readonly string[];
}

/**
 * By the bytes of byte code that a function has run, in Node 20, whose default is 67,584; by how often it was called since Node 21,
 * whose defaults are the early ones. V8 complains on standard error of flags that it does not know.
 */
function eagerness(nodeMajor: number): Eagerness {
  if (nodeMajor <= 20) return { late: ['--interrupt-budget=400000'], early: ['--interrupt-budget=135168'] };
  return { late: invocations(1200, 9000), early: invocations(400, 3000) };
}

function invocations(maglev: number, turbofan: number): string[] {
  return [`--invocation-count-for-maglev=${maglev}`, `--invocation-count-for-turbofan=${turbofan}`];
}

const { late, early } = eagerness(Number.parseInt(process.versions.node, 10));

/**
 * For all that is done once: most of what V8 would optimize by default hardly runs again, and doing so took, on threads of its
 * own, two thirds of the CPU time that the main thread took for a capture of 1,000 goroutines.
 */
export function optimizeLate(): void {
  for (const flag of late) setFlagsFromString(flag);
}

/** For the rehearsal of a stop: what runs in the stop should be optimized by then, and not be compiled in it. */
export function optimizeEarly(): void {
  for (const flag of early) setFlagsFromString(flag);
}

/** What is waited for at most, in milliseconds: a large function takes 40, longer where the threads that compile get no CPU. */
const MOST_MS = 100;
/** Between two looks. */
const BETWEEN_MS = 1;
/** A thread may wait for a moment for another one: so many looks in a row must find none that runs. */
const LOOKS_AT_REST = 2;

/**
 * Waits until no other thread of gospy's runs, such as V8's that compile: in the stop they would have the class of the main one, and
 * take a CPU from the threads that are to stop. Not for long.
 */
export function untilCompiled(isBusy: () => boolean = othersRun): void {
  const deadline = performance.now() + MOST_MS;
  for (let rests = 0; rests < LOOKS_AT_REST && performance.now() < deadline;) {
    rests = isBusy() ? 0 : rests + 1;
    sleep(BETWEEN_MS);
  }
}

function othersRun(): boolean {
  return ownThreads().some((tid) => tid !== process.pid && threadState(process.pid, tid) === 'R');
}

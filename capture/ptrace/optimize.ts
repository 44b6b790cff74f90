import { setFlagsFromString } from 'node:v8';

/*
 * How soon V8 hands a function to its optimizing compiler, in bytes of byte code that it has run. The default of Node 20 is
 * 135,168. These are flags that V8 looks at each time, and that may be changed at any time.
 */
const LATE = '--interrupt-budget=400000';
const EARLY = '--interrupt-budget=135168';

/**
 * For all that is done once: most of what V8 would optimize by default hardly runs again, and doing so took, on threads of its
 * own, two thirds of the CPU time that the main thread took for a capture of 1,000 goroutines.
 */
export function optimizeLate(): void {
  setFlagsFromString(LATE);
}

/** For the rehearsal of a stop: what runs in the stop should be optimized by then, and not be compiled in it. */
export function optimizeEarly(): void {
  setFlagsFromString(EARLY);
}

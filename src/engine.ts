import { setFlagsFromString } from 'node:v8';

/*
 * Disables V8's concurrent garbage collection threads: they may keep a CPU for milliseconds from the threads of a process
 * that are about to stop. Must be the first import, because V8 crashes if the flags change during a collection.
 */
setFlagsFromString('--no-concurrent-marking');
setFlagsFromString('--no-concurrent-array-buffer-sweeping');

import { setFlagsFromString } from 'node:v8';

/*
 * What the engine does in threads of its own, beside gospy's work, keeps a CPU from the threads of a process that are to
 * stop, for some milliseconds. It breaks down when it is told to leave that in the middle of a collection: so this comes
 * first of all.
 */
setFlagsFromString('--no-concurrent-marking');
setFlagsFromString('--no-concurrent-array-buffer-sweeping');

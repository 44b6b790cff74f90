import { setFlagsFromString } from 'node:v8';
import { optimizeLate } from '../capture/ptrace/optimize.js';

/*
 * Keeps V8's helper threads from the CPUs: they may keep one for milliseconds from the threads of a process that gospy looks at.
 * Must be the first import, because V8 crashes if the flags change during a collection.
 */
setFlagsFromString('--no-concurrent-marking');
setFlagsFromString('--no-concurrent-array-buffer-sweeping');
// A collection shortly before or in a stop would wait for helpers, whose priority is lower: see capture/ptrace/priority.ts.
setFlagsFromString('--no-parallel-scavenge');
optimizeLate();

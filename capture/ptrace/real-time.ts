import { Policy, schedulingPolicy, setSchedulingPolicy } from '../libc.js';
import { ownThreads } from '../process/own-proc.js';

/**
 * Gives gospy a CPU whenever it wants one, if it may: without this, a busy machine takes the CPU from it for milliseconds in
 * the middle of a stop. All its threads get it, for the main one may wait for a lock that another holds: the engine compiles
 * and collects in threads of its own. Only for what waits for no thread of another process without sleeping: nothing else
 * gets to run on that CPU. Returns an undo.
 */
export function enterRealTime(): () => void {
  const before = new Map<number, Policy>();
  for (const tid of ownThreads()) {
    const policy = schedulingPolicy(tid);
    if (policy !== null && setSchedulingPolicy(tid, Policy.fifo)) before.set(tid, policy);
  }
  return () => {
    for (const [tid, policy] of before) setSchedulingPolicy(tid, policy);
  };
}

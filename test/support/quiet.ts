import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

/** Looks in a row between which nothing may have happened, and the time between two. */
const LOOKS = 4;
const BETWEEN_MS = 15;

/**
 * Resolves once a program of a test's own has come to rest: no thread of it ran in a while. What says `ready` goes on for
 * a moment before it is parked like all the others.
 */
export async function untilQuiet(pid: number): Promise<void> {
  let before = '';
  let same = 0;
  while (same < LOOKS) {
    await setTimeout(BETWEEN_MS);
    const now = activity(pid);
    same = now === before && !/ R\b/.test(now) ? same + 1 : 0;
    before = now;
  }
}

/** Each thread with its state and the number of times it was switched to. */
function activity(pid: number): string {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks)
    .map((tid) => {
      const status = statusOf(`${tasks}/${tid}/status`);
      const [, state = '?'] = /^State:\s+(\S)/m.exec(status) ?? [];
      const switches = [...status.matchAll(/_ctxt_switches:\s+(\d+)/g)].map(([, count]) => count);
      return `${tid} ${state} ${switches.join('+')}`;
    })
    .join('\n');
}

/** The empty string for a thread that has just ended. */
function statusOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { eventually } from './eventually.js';

/** So many looks in a row have to find nothing changed, with this time between two. */
const LOOKS = 4;
const BETWEEN_MS = 15;

/**
 * Resolves once a program is at rest: none of its threads has run for a while. A program that says `ready` still runs for
 * a moment before it is parked. Throws if it does not come to rest within a minute.
 */
export async function untilQuiet(pid: number): Promise<void> {
  let before = '';
  let same = 0;
  const look = async (): Promise<true | null> => {
    await setTimeout(BETWEEN_MS);
    const now = activity(pid);
    same = now === before && !/ R\b/.test(now) ? same + 1 : 0;
    before = now;
    return same < LOOKS ? null : true;
  };
  await eventually(look, `rest of process ${pid}`, () => before);
}

/** Returns a line for each thread: its id, its state, and how many times it was switched to. */
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

/** Returns the empty string if the thread has ended. */
function statusOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { hostArch } from '../process/procfs.js';
import { withStopped } from './stop.js';
import type { StoppedThread } from './tracee.js';

/** Stops of the stand-in: enough that the code of a stop is compiled. After a third as many, a stop takes 0.1 ms longer. */
const ROUNDS = 30;
/** How long `body` is run in the stops: code that takes long is compiled by then. */
const BODY_MS = 40;
/** Programs that wait for their standard input, the cheapest first: a container may have nothing but Node. */
const STAND_INS: readonly (readonly [string, readonly string[]])[] = [
  ['/bin/cat', []],
  [process.execPath, ['-e', 'process.stdin.resume()']],
];

/**
 * Stops a process of gospy's own some times and lets it go, so that the stop that matters is not the first: code that never
 * ran takes ten times as long. `body` is what will be done in that stop, here with the first thread of the stand-in. Errors
 * are ignored here: they show in the stop itself.
 */
export async function warmUpStop(body: (thread: StoppedThread) => void): Promise<void> {
  for (const [file, args] of STAND_INS) {
    const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      await once(child, 'spawn');
    } catch {
      continue;
    }
    try {
      const until = performance.now() + BODY_MS;
      for (let i = 0; i < ROUNDS && child.pid !== undefined; i++) {
        withStopped(child.pid, { arch: hostArch(), late: () => undefined }, ([thread]) => {
          if (thread !== undefined && performance.now() < until) body(thread);
        });
      }
    } catch {
      return;
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    return;
  }
}

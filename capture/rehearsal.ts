import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { hostArch } from './procfs.js';
import { withStopped } from './stop.js';

/** Stops of the stand-in: enough that the code of a stop is compiled. Each takes about a quarter of a millisecond. */
const ROUNDS = 30;
/** What waits on its standard input, cheapest first: a container may hold nothing but Node. */
const STAND_INS: readonly (readonly [string, readonly string[]])[] = [
  ['/bin/cat', []],
  [process.execPath, ['-e', 'process.stdin.resume()']],
];

/**
 * Stops a process of gospy's own some times and lets it go, so that the one stop that matters is not the first: code
 * that never ran takes ten times as long. Whatever goes wrong here shows in the stop itself.
 */
export async function rehearseStop(): Promise<void> {
  for (const [file, args] of STAND_INS) {
    const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      await once(child, 'spawn');
    } catch {
      continue;
    }
    try {
      for (let i = 0; i < ROUNDS && child.pid !== undefined; i++) {
        withStopped(child.pid, { arch: hostArch() }, (threads) => threads.length);
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

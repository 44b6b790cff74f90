import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Registers } from '../snapshots/registers.js';
import { hostArch } from './procfs.js';
import { withStopped } from './stop.js';

/** Stops of the stand-in: enough that the code of a stop is compiled. Each takes about a quarter of a millisecond. */
const ROUNDS = 30;
/** For how long what is done in the stop is done in the rehearsal too: what takes long is compiled by then. */
const LOOK_MS = 40;
/** What waits on its standard input, cheapest first: a container may hold nothing but Node. */
const STAND_INS: readonly (readonly [string, readonly string[]])[] = [
  ['/bin/cat', []],
  [process.execPath, ['-e', 'process.stdin.resume()']],
];

/**
 * Stops a process of gospy's own some times and lets it go, so that the one stop that matters is not the first: code
 * that never ran takes ten times as long. `look` is what will be done in it; it is given the registers of the stand-in.
 * Whatever goes wrong here shows in the stop itself.
 */
export async function rehearseStop(look?: (registers: Registers | null) => void): Promise<void> {
  for (const [file, args] of STAND_INS) {
    const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      await once(child, 'spawn');
    } catch {
      continue;
    }
    try {
      const until = performance.now() + LOOK_MS;
      for (let i = 0; i < ROUNDS && child.pid !== undefined; i++) {
        withStopped(child.pid, { arch: hostArch() }, ([thread]) => {
          if (performance.now() < until) look?.(thread?.registers ?? null);
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

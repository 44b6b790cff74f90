import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { GospyError } from '../../snapshots/errors.js';
import { hostArch } from '../process/procfs.js';
import { withStopped } from './stop.js';

/** Threads that the stand-in has beside Node's own: enough that what a stop costs in itself does not show. */
const THREADS = 64;
/** The first use of libuv's pool of threads starts all of them. */
const STAND_IN = "require('node:fs').stat('/', () => process.stdout.write('.')); process.stdin.resume()";
/** Stops of the stand-in: those in which the code is compiled, and those that count. Each takes some milliseconds. */
const WARM_UP_ROUNDS = 8;
const ROUNDS = 15;
/** What was measured on one idle machine with 2 cores (Linux 6.18), for when no stand-in can be stopped. */
export const USUAL_THREAD_MS = 0.025;

/**
 * What it takes to stop a thread, read its registers and let it go, here and now, in milliseconds: the median of some
 * stops of a process of gospy's own whose threads wait. With ten thousand threads each takes as long as with this one's.
 */
export async function measureThreadMs(): Promise<number> {
  const env = { ...process.env, UV_THREADPOOL_SIZE: String(THREADS) };
  const child = spawn(process.execPath, ['-e', STAND_IN], { env, stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    return child.pid === undefined ? USUAL_THREAD_MS : medianPerThread(child.pid);
  } catch (error) {
    // Node could not be started, or nothing may be traced here: that shows elsewhere.
    if (error instanceof GospyError || child.pid === undefined) return USUAL_THREAD_MS;
    throw error;
  } finally {
    if (child.pid !== undefined) {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
      child.kill('SIGKILL');
      await ended;
    }
  }
}

function medianPerThread(pid: number): number {
  const all: number[] = [];
  for (let i = 0; i < WARM_UP_ROUNDS + ROUNDS; i++) {
    const { pauseNs, threads } = withStopped(pid, { arch: hostArch() }, () => null);
    if (i >= WARM_UP_ROUNDS) all.push(pauseNs / 1e6 / threads.length);
  }
  return all.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? USUAL_THREAD_MS;
}

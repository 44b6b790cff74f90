import { closeSync, openSync, readFileSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const STALE_MS = 60_000;
const REFRESH_MS = 5_000;
const POLL_MS = 100;

/**
 * Runs `work` while this process holds a lock file. A lock is taken over if its holder has ended or has not refreshed it
 * for a minute. If two processes take it over at the same time, both work.
 */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  while (!acquire(path)) {
    if (isStale(path)) rmSync(path, { force: true });
    else await sleep(POLL_MS);
  }
  const refresh = setInterval(() => touch(path), REFRESH_MS);
  try {
    return await work();
  } finally {
    clearInterval(refresh);
    rmSync(path, { force: true });
  }
}

function acquire(path: string): boolean {
  try {
    const file = openSync(path, 'wx');
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function touch(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

function isStale(path: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_MS) return true;
    const pid = Number(readFileSync(path, 'utf8'));
    return pid > 0 && !isAlive(pid);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

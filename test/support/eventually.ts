import { setTimeout } from 'node:timers/promises';

const PATIENCE_MS = 60_000;
const POLL_MS = 20;

/**
 * Calls `look` again and again until it returns a value, and returns that. If it returns only null for a minute, throws an
 * error with `what` was awaited and what `lastSeen` returns, such as output or a screen.
 */
export async function eventually<T>(
  look: () => T | null | Promise<T | null>,
  what: string,
  lastSeen: () => string = () => '',
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const value = await look();
    if (value !== null) return value;
    if (performance.now() > deadline) {
      throw new Error(`${what} did not come within ${PATIENCE_MS / 1000} s; last seen:\n${lastSeen().slice(-4000)}`);
    }
    await setTimeout(POLL_MS);
  }
}

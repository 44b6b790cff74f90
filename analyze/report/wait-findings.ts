import type { GoProgram } from '../program.js';
import { isSure } from '../waits/model.js';
import { findWaits } from '../waits/waits.js';
import type { Finding } from './model.js';
import { WaitReporter } from './waits.js';

/** A lock stands out if so many wait for it. */
const MANY_WAITERS = 10;
/** Deadlocks, and locks, that are named. */
const SHOWN = 3;
const SHOWN_GOIDS = 10;
/** Wait reasons of goroutines that wait for a lock: until Go 1.19 for any semaphore. */
const LOCK_REASON = /^(semacquire|sync\.(Mutex|RWMutex)\.)/;

/** True for the wait reason of a goroutine that may wait for a lock. */
export function isLockReason(reason: string | null): boolean {
  return reason !== null && LOCK_REASON.test(reason);
}

/** What stands out of the waits for locks: deadlocks that lead over one, and locks that many wait for. */
export function waitFindings(program: GoProgram): Finding[] {
  const reporter = new WaitReporter(findWaits(program));
  const runtime = program.runtime.n;
  const deadlocks = reporter.lockCycles(SHOWN).map(({ goids, strength, waiters, message }): Finding => {
    const word = isSure(strength) ? 'deadlock' : 'possible deadlock';
    const behind = waiters === 0 ? '' : `, and ${waiters} more wait behind ${goids.length === 1 ? 'it' : 'them'}`;
    const who = goids.length === 1 ? 'a goroutine waits for itself' : `${goids.length} goroutines wait for each other`;
    return {
      code: 'deadlock',
      runtime,
      count: goids.length + waiters,
      goids: ascending(goids),
      message: `${word}: ${who}${behind}: ${message}`,
    };
  });
  const locks = reporter.locks(MANY_WAITERS, SHOWN).map(({ waiters, holders, message }): Finding => ({
    ...{ code: 'lock-waiters', runtime, count: waiters },
    ...{ goids: ascending(holders), message },
  }));
  return [...deadlocks, ...locks];
}

function ascending(goids: readonly number[]): number[] {
  return [...goids].sort((a, b) => a - b).slice(0, SHOWN_GOIDS);
}

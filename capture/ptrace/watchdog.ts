import { Action, alarm, setAction } from '../libc.js';

const SIGALRM = 14;
/** A thread is seized by then, unless an execve of the process waits for gospy, and gospy for it. */
export const SEIZE_LIMIT_SECONDS = 2;

/** When it ends gospy, as a time of performance.now(); Infinity while it is not armed. */
let end = Infinity;
/** True while it gives less time than that. */
let isWithin = false;

export interface Watchdog {
  /** Begins anew, with so many whole seconds. */
  readonly rearm: (seconds: number) => void;
  readonly disarm: () => void;
}

/**
 * Has the kernel end gospy by SIGALRM after so many whole seconds, whatever it is doing then. A handler for SIGALRM is set aside
 * meanwhile: in a stop, no JavaScript would get to run it.
 */
export function armWatchdog(seconds: number): Watchdog {
  const restoreAction = setAction(SIGALRM, Action.byDefault);
  const rearm = (seconds: number): void => {
    end = performance.now() + 1000 * seconds;
    alarm(seconds);
  };
  const disarm = (): void => {
    end = Infinity;
    alarm(0);
    restoreAction();
  };
  rearm(seconds);
  return { rearm, disarm };
}

/**
 * Returns what `action` does, for which the watchdog gives so many whole seconds at most. If it is not armed, it gives any time;
 * within another action, as much as it gives that one.
 */
export function within<T>(seconds: number, action: () => T): T {
  if (end === Infinity || isWithin) return action();
  alarm(Math.min(seconds, secondsLeft()));
  isWithin = true;
  try {
    return action();
  } finally {
    isWithin = false;
    alarm(secondsLeft());
  }
}

function secondsLeft(): number {
  return Math.max(1, Math.ceil((end - performance.now()) / 1000));
}

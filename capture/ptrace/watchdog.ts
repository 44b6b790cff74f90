import { Action, alarm, setAction } from '../libc.js';

const SIGALRM = 14;

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
  alarm(seconds);
  const disarm = (): void => {
    alarm(0);
    restoreAction();
  };
  return { rearm: alarm, disarm };
}

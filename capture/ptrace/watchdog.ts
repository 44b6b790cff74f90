import { Action, alarm, setAction } from '../libc.js';

const SIGALRM = 14;

/**
 * Has the kernel end gospy by SIGALRM after so many whole seconds, whatever it is doing then. Returns a function that calls
 * this off. A handler for SIGALRM is set aside meanwhile: in a stop, no JavaScript would get to run it.
 */
export function armWatchdog(seconds: number): () => void {
  const restoreAction = setAction(SIGALRM, Action.byDefault);
  alarm(seconds);
  return () => {
    alarm(0);
    restoreAction();
  };
}

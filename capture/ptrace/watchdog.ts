import { Pinned, alarm, sigaction } from '../libc.js';

const SIGALRM = 14;
/** More than any libc's struct sigaction takes. All zeros are the default action, which ends the process. */
const SIGACTION_SIZE = 256;

interface Actions {
  readonly byDefault: Pinned;
  readonly before: Pinned;
}
let actions: Actions | null = null;

/**
 * Has the kernel end gospy by SIGALRM after so many whole seconds, whatever it is doing then. Returns a function that calls
 * this off. A handler for SIGALRM is set aside meanwhile: in a stop, no JavaScript would get to run it.
 */
export function armWatchdog(seconds: number): () => void {
  actions ??= { byDefault: new Pinned(SIGACTION_SIZE), before: new Pinned(SIGACTION_SIZE) };
  const { byDefault, before } = actions;
  sigaction(SIGALRM, byDefault.address, before.address);
  alarm(seconds);
  return () => {
    alarm(0);
    sigaction(SIGALRM, before.address, 0);
  };
}

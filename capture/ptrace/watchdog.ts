import { Pinned, alarm, sigaction } from '../libc.js';

const SIGALRM = 14;
/** More than any libc's struct sigaction takes. All zero it is the default action: the end of the process. */
const SIGACTION_SIZE = 256;

interface Actions {
  readonly byDefault: Pinned;
  readonly before: Pinned;
}
let actions: Actions | null = null;

/**
 * Has the kernel end gospy after so many whole seconds, whatever it is doing then, unless the function that is answered
 * has been called. A handler for SIGALRM is set aside meanwhile: in a stop no JavaScript would come to run it.
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

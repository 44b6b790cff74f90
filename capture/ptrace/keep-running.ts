import { Action, forbidCoreFile, setAction } from '../libc.js';
import { forbidRest } from '../process/cpu-quota.js';

const SIGTSTP = 20;
const SIGTTIN = 21;
const SIGTTOU = 22;

/** How many callers need it, and what is undone once none does. */
let holds = 0;
let undo: readonly (() => void)[] = [];

/**
 * Keeps gospy itself from standing still while it traces a process, until the returned function is called. The kernel lets tracees go
 * when their tracer has ended, but not
 * - when it was stopped, by Ctrl-Z or because it wrote to a terminal in the background: then SIGALRM does not end it either. Such
 *   signals are ignored meanwhile.
 * - before its core file is written (fs/coredump.c, called from kernel/signal.c), which may take seconds: none is.
 *
 * Nor does gospy rest meanwhile, as it does under a limit on CPU time. The function is to be called once.
 */
export function keepRunning(): () => void {
  if (holds++ === 0) {
    const ignored = [SIGTSTP, SIGTTIN, SIGTTOU].map((signal) => setAction(signal, Action.ignore));
    undo = [...ignored, forbidCoreFile(), forbidRest()];
  }
  return () => {
    if (--holds === 0) for (const restore of undo) restore();
  };
}

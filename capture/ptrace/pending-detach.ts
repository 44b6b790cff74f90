import { detach, interrupt, pollStop, reap, signalOfLastStop } from './ptrace.js';

/** How often the event loop looks after what could not be let go at once, in milliseconds. */
const POLL_MS = 2;

/**
 * A thread that gospy traces and could not let go yet. DETACH works on stopped threads only, and a thread that sleeps
 * in the kernel beyond the reach of signals (state D) stops when it wakes up: then it must be let go at once.
 */
interface PendingDetach {
  readonly tid: number;
  /** True where a death of this thread is for libuv to collect: the first thread of a child of gospy's own. */
  readonly ownChild: boolean;
}

const stragglers = new Map<number, PendingDetach>();
let timer: NodeJS.Timeout | null = null;

/** Hands over a traced thread, to be let go as soon as that is possible. */
export function detachLater(tid: number, ownChild: boolean): void {
  // Asked again in any case: a thread that nobody asked to stop could not be let go before its next signal.
  interrupt(tid);
  stragglers.set(tid, { tid, ownChild });
}

/** Takes a straggler back, as the tracee of a new stop. False where the thread is none. */
export function takePending(tid: number): boolean {
  return stragglers.delete(tid);
}

/**
 * Lets go whoever can be let go by now, and answers how many are left. For those a timer runs that keeps no process
 * alive: where gospy ends first, the kernel lets its tracees go, unharmed and running.
 */
export function pollPending(): number {
  for (const straggler of stragglers.values()) {
    if (isFree(straggler)) stragglers.delete(straggler.tid);
  }
  if (stragglers.size === 0 && timer !== null) {
    clearInterval(timer);
    timer = null;
  } else if (stragglers.size > 0 && timer === null) {
    timer = setInterval(pollPending, POLL_MS).unref();
  }
  return stragglers.size;
}

function isFree({ tid, ownChild }: PendingDetach): boolean {
  switch (pollStop(tid)) {
    case 'running':
      // Of a child of gospy's own, libuv may have collected the report of the stop: it stands still and is asked blindly.
      return ownChild && detach(tid, 0) === 0;
    case 'stopped':
      // On failure it was killed meanwhile: its death is reported next.
      return detach(tid, signalOfLastStop()) === 0;
    case 'gone':
      return ownChild || reap(tid);
  }
}

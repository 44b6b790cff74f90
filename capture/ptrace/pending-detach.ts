import { keepRunning } from './keep-running.js';
import { CLONED, GONE, RUNNING, detach, eventMessage, interrupt, pollStatus, reap, signalOf } from './ptrace.js';

/** How often the event loop tries to let pending threads go, in milliseconds. */
const POLL_MS = 2;

/**
 * A thread that gospy traces and could not let go yet. DETACH works on stopped threads only, and a thread that sleeps in
 * the kernel where no signal reaches it (state D) stops when it wakes up: then it must be let go at once.
 */
interface PendingDetach {
  readonly tid: number;
  readonly process: TracedProcess;
}

/** The process of a thread. */
export interface TracedProcess {
  readonly pid: number;
  /** True for a child of gospy's own: libuv must collect the death of its first thread. */
  readonly isOwnChild: boolean;
}

const pending = new Map<number, PendingDetach>();
/** Set while threads are pending. */
let polling: { readonly timer: NodeJS.Timeout; readonly restoreSignals: () => void } | null = null;

/** Takes over a traced thread, to let it go as soon as that is possible. */
export function detachLater(tid: number, process: TracedProcess): void {
  // It may never have been asked to stop, and could then not be let go before its next signal.
  interrupt(tid);
  pending.set(tid, { tid, process });
}

/** Takes a thread back, as a tracee of a new stop. Returns false if it is not pending. */
export function takePending(tid: number): boolean {
  return pending.delete(tid);
}

/**
 * Lets go all pending threads that can be let go by now. Returns how many are left. For those it keeps a timer running,
 * which does not keep gospy alive: if gospy ends first, the kernel lets its tracees go, unharmed and running.
 */
export function pollPending(): number {
  for (const thread of pending.values()) {
    if (tryDetach(thread)) pending.delete(thread.tid);
  }
  if (pending.size === 0 && polling !== null) {
    clearInterval(polling.timer);
    polling.restoreSignals();
    polling = null;
  } else if (pending.size > 0 && polling === null) {
    polling = { timer: setInterval(pollPending, POLL_MS).unref(), restoreSignals: keepRunning() };
  }
  return pending.size;
}

/** True once the thread is not traced any more, or is dead and collected. */
function tryDetach({ tid, process }: PendingDetach): boolean {
  const ownChild = process.isOwnChild && tid === process.pid;
  const status = pollStatus(tid);
  if (status === GONE) {
    const death = ownChild ? 'reaped' : reap(tid);
    // If it has executed another program, it is still traced, as the first thread.
    if (death === 'unknown' && tid !== process.pid) detachLater(process.pid, process);
    return death !== 'not yet';
  }
  // If a child of gospy's own has stopped, libuv may have collected the report of that: so try it without the report.
  if (status === RUNNING) return ownChild && detach(tid, 0) === 0;
  const born = status === CLONED ? eventMessage(tid) : null;
  if (born !== null) detachLater(born, process);
  // If this fails, the thread was killed meanwhile, and its death is reported next.
  return detach(tid, signalOf(status)) === 0;
}

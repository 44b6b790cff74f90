/** The signal that ended a process, as its core records it. */
export interface FatalSignal {
  readonly number: number;
  /** si_code: above 0 if the kernel itself sent the signal, as for a fault. */
  readonly code: number;
  /** The address that faulted; null if the signal has none. */
  readonly addr: number | null;
  /** The thread that received it, by the id that the core uses. */
  readonly tid: number;
}

/** Signals whose default action is to dump a core (signal(7)), by their numbers on amd64 and arm64. */
const FATAL: ReadonlyMap<number, string> = new Map([
  [3, 'SIGQUIT'],
  [4, 'SIGILL'],
  [5, 'SIGTRAP'],
  [6, 'SIGABRT'],
  [7, 'SIGBUS'],
  [8, 'SIGFPE'],
  [11, 'SIGSEGV'],
  [24, 'SIGXCPU'],
  [25, 'SIGXFSZ'],
  [31, 'SIGSYS'],
]);

/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: siginfo has si_addr if the kernel sent them. */
const WITH_ADDRESS: ReadonlySet<number> = new Set([4, 5, 7, 8, 11]);

/** Returns whether the default action of a signal is to dump a core. Debuggers leave other signals in their cores. */
export function isFatal(number: number): boolean {
  return FATAL.has(number);
}

/** Returns `SIGSEGV`, or `signal 34` for a signal that is not fatal. */
export function signalName(number: number): string {
  return FATAL.get(number) ?? `signal ${number}`;
}

/** Returns whether siginfo holds a fault address. With an si_code below 1 the signal came from a process. */
export function hasAddress(number: number, code: number): boolean {
  return code > 0 && WITH_ADDRESS.has(number);
}

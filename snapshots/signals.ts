/** The signal that ended a process, as its core tells. */
export interface FatalSignal {
  readonly number: number;
  /** si_code: above 0 where the kernel itself sent it, as for a fault. */
  readonly code: number;
  /** The address at fault; null where the signal has none. */
  readonly addr: number | null;
  /** The thread that took it, as the core numbers threads. */
  readonly tid: number;
}

/** Signals whose default action leaves a core (signal(7)), by their numbers on amd64 and arm64. */
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

/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: siginfo has si_addr where the kernel sent them. */
const WITH_ADDRESS: ReadonlySet<number> = new Set([4, 5, 7, 8, 11]);

/** True for a signal that ends a process with a core; debuggers leave others in the cores that they write. */
export function isFatal(number: number): boolean {
  return FATAL.has(number);
}

/** `SIGSEGV`. */
export function signalName(number: number): string {
  return FATAL.get(number) ?? `signal ${number}`;
}

/** True where siginfo tells an address: si_code below 1 is a signal that a process sent. */
export function hasAddress(number: number, code: number): boolean {
  return code > 0 && WITH_ADDRESS.has(number);
}

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

/**
 * Signals whose default action is to dump a core (signal(7)), by their numbers on amd64 and arm64, and SIGSTKFLT, of which
 * the Go runtime makes a crash (_SigThrow in sigtab_linux_generic.go, 1.12+).
 */
const FATAL: ReadonlyMap<number, string> = new Map([
  [3, 'SIGQUIT'],
  [4, 'SIGILL'],
  [5, 'SIGTRAP'],
  [6, 'SIGABRT'],
  [7, 'SIGBUS'],
  [8, 'SIGFPE'],
  [11, 'SIGSEGV'],
  [16, 'SIGSTKFLT'],
  [24, 'SIGXCPU'],
  [25, 'SIGXFSZ'],
  [31, 'SIGSYS'],
]);

/** SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: siginfo has si_addr if the kernel sent them. */
const WITH_ADDRESS: ReadonlySet<number> = new Set([4, 5, 7, 8, 11]);
/** SIGBUS, SIGSEGV: the address is one that was read or written, which the runtime prints with any code (signal_unix.go). */
const OF_MEMORY: ReadonlySet<number> = new Set([7, 11]);
/** si_code of a signal for which the kernel has no code of its own, and no address: si_addr is 0. */
const SI_KERNEL = 0x80;
/**
 * si_code of what a process sent: SI_USER (kill), SI_QUEUE (sigqueue), SI_MESGQ, SI_TKILL (tgkill). With others, such as
 * SI_TIMER, siginfo has no si_pid.
 */
const FROM_PROCESSES: ReadonlySet<number> = new Set([0, -1, -3, -6]);

/** Returns whether a signal may have crashed a program. Debuggers leave other signals in their cores. */
export function isFatal(number: number): boolean {
  return FATAL.has(number);
}

/** Returns `SIGSEGV`, or `signal 34` for a signal that is not fatal. */
export function signalName(number: number): string {
  return FATAL.get(number) ?? `signal ${number}`;
}

/** Returns whether siginfo holds a fault address. With an si_code below 1 the signal came from a process or a timer. */
export function hasAddress(number: number, code: number): boolean {
  return code > 0 && WITH_ADDRESS.has(number) && (code !== SI_KERNEL || OF_MEMORY.has(number));
}

/** Returns whether siginfo holds the id of the process that sent the signal. It is 0 for one in another pid namespace. */
export function hasSender(code: number): boolean {
  return FROM_PROCESSES.has(code);
}

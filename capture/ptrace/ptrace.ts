import type { Registers } from '../../snapshots/registers.js';
import { Errno, Pinned, errno, ptrace, waitid } from '../libc.js';
import { SEIZE_LIMIT_SECONDS, within } from './watchdog.js';

/** Requests of ptrace(2). SEIZE, never ATTACH: it stops nothing, and the kernel lets the tracees go if gospy dies. */
const PTRACE_DETACH = 17;
const PTRACE_SYSCALL = 24;
const PTRACE_SETOPTIONS = 0x4200;
const PTRACE_GETEVENTMSG = 0x4201;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SETREGSET = 0x4205;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_EVENT_STOP = 128;
const SIGTRAP = 5;
/** The status of a tracee with {@link TRACE_CLONE} that has made a thread: PTRACE_EVENT_CLONE. */
export const CLONED = SIGTRAP + 256 * 3;

/** Options of a tracee. Never set {@link EXIT_KILL} on a thread of the target: the target would die with gospy. */
export const TRACE_SYSCALL_GOOD = 1;
/** Threads that the tracee makes are tracees too, with the same options. They stop before their first instruction. */
export const TRACE_CLONE = 8;
export const EXIT_KILL = 0x100000;

/** What {@link pollStatus} and {@link pollStop} return for a tracee that has not stopped: not yet, or never again. */
export const RUNNING = -1;
export const GONE = -2;
const NT_PRSTATUS = 1;

const P_PID = 1;
const WNOHANG = 1;
const WSTOPPED = 2;
const WEXITED = 4;
const WALL = 0x40000000;

/** Offsets within siginfo_t on 64-bit CPUs. */
const SI_PID = 16;
const SI_STATUS = 24;
const SIGINFO_SIZE = 128;

let message: Pinned | null = null;
let siginfo: Pinned | null = null;
function waitInfo(): Pinned {
  return (siginfo ??= new Pinned(SIGINFO_SIZE));
}

/**
 * Makes gospy the thread's tracer, without stopping it. Returns 0 or an errno: EPERM also for a thread that is exiting, or
 * that gospy traces already. An execve of the process can hold this up for good: in a stop, the watchdog ends that.
 */
export function seize(tid: number, options = 0): number {
  return within(SEIZE_LIMIT_SECONDS, () => (ptrace(PTRACE_SEIZE, tid, 0, options) === 0 ? 0 : errno()));
}

/** Asks a seized thread to stop as soon as it can. Returns 0 or an errno. */
export function interrupt(tid: number): number {
  return ptrace(PTRACE_INTERRUPT, tid, 0, 0) === 0 ? 0 : errno();
}

/** Lets a stopped thread go and delivers `signal` to it (0: none). Returns 0, or ESRCH if the thread is not stopped. */
export function detach(tid: number, signal: number): number {
  return ptrace(PTRACE_DETACH, tid, 0, signal) === 0 ? 0 : errno();
}

/**
 * Checks, without waiting, whether a tracee has stopped. Returns {@link RUNNING}, {@link GONE} (dead, or not a tracee), or
 * the {@link signalOf} its stop. Reaps nobody, and takes no report of a child that is not a tracee.
 */
export function pollStop(tid: number): number {
  const status = pollStatus(tid);
  return status === RUNNING || status === GONE ? status : signalOf(status);
}

/** As {@link pollStop}, but returns the status of the stop: a signal, plus 256 times an event. */
export function pollStatus(tid: number): number {
  const info = waitInfo();
  if (waitid(P_PID, tid, info.address, WSTOPPED | WNOHANG | WALL) !== 0) {
    return errno() === Errno.ECHILD ? GONE : RUNNING;
  }
  return info.view.getInt32(SI_PID, true) === 0 ? RUNNING : info.view.getInt32(SI_STATUS, true);
}

/**
 * The signal that a thread was about to be given when it stopped with a status; 0 if none, as at every event. It must be
 * passed to {@link detach}, or it is lost.
 */
export function signalOf(status: number): number {
  return status < 256 ? status : 0;
}

/** True for the status of a stop that {@link interrupt} asked for, or of a group-stop. */
export function isTrap(status: number): boolean {
  return Math.floor(status / 256) === PTRACE_EVENT_STOP;
}

/** Lets a stopped thread run until it enters or leaves a system call. Returns false if it is not stopped. */
export function continueToSyscall(tid: number): boolean {
  return ptrace(PTRACE_SYSCALL, tid, 0, 0) === 0;
}

/** Sets the options of a stopped tracee. Returns false if it is not stopped. */
export function setOptions(tid: number, options: number): boolean {
  return ptrace(PTRACE_SETOPTIONS, tid, 0, options) === 0;
}

/** The message of the event at which a tracee has stopped, such as the pid of its new child; null if it is not stopped. */
export function eventMessage(tid: number): number | null {
  message ??= new Pinned(8);
  if (ptrace(PTRACE_GETEVENTMSG, tid, 0, message.address) !== 0) return null;
  return Number(message.view.getBigUint64(0, true));
}

/** Replaces the registers of a stopped thread. Returns false if it is not stopped. */
export function setRegisters(tid: number, { bytes }: Registers): boolean {
  const copy = new Pinned(bytes.length);
  copy.bytes.set(bytes);
  const iov = new Pinned(16);
  iov.setWord(0, copy.address);
  iov.setWord(8, bytes.length);
  return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, iov.address) === 0;
}

/**
 * What became of a dead tracee: `unknown` if there is none of that id. It was reaped before, or it has executed another program,
 * and has the id of the first thread since then.
 */
export type Death = 'reaped' | 'not yet' | 'unknown';

/** Reaps a dead tracee. */
export function reap(tid: number): Death {
  const info = waitInfo();
  if (waitid(P_PID, tid, info.address, WEXITED | WNOHANG | WALL) !== 0) {
    return errno() === Errno.ECHILD ? 'unknown' : 'not yet';
  }
  return info.view.getInt32(SI_PID, true) === 0 ? 'not yet' : 'reaped';
}

/** Room for the general registers of many threads, each in a slot that the kernel fills. */
export class RegisterSlots {
  readonly #slots: Pinned;
  readonly #iov = new Pinned(16);
  readonly #size: number;
  readonly capacity: number;

  /** `setSize` is the size of one register set in bytes. */
  constructor(capacity: number, setSize: number) {
    this.capacity = capacity;
    this.#size = setSize;
    this.#slots = new Pinned(capacity * setSize);
    this.#slots.bytes.fill(0);
  }

  /** Reads the registers of a stopped thread into a slot. Returns false if it is not stopped, or its registers have another size. */
  read(tid: number, slot: number): boolean {
    this.#iov.setWord(0, this.#slots.address + slot * this.#size);
    this.#iov.setWord(8, this.#size);
    if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, this.#iov.address) !== 0) return false;
    return this.#iov.view.getUint32(8, true) === this.#size;
  }

  /** The bytes of a slot, not copied. */
  bytes(slot: number): Uint8Array {
    return this.#slots.bytes.subarray(slot * this.#size, (slot + 1) * this.#size);
  }
}

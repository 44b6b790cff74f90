import { Errno, Pinned, errno, ptrace, waitid } from './libc.js';

/** Requests of ptrace(2). Only SEIZE: it stops nothing, and the kernel lets go of the tracees when gospy dies. */
const PTRACE_DETACH = 17;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_EVENT_STOP = 128;
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

let siginfo: Pinned | null = null;
function waitInfo(): Pinned {
  return (siginfo ??= new Pinned(SIGINFO_SIZE));
}

/** Makes gospy the thread's tracer, without stopping it. Answers 0 or an errno: EPERM also for a thread that exits. */
export function seize(tid: number): number {
  return ptrace(PTRACE_SEIZE, tid, 0, 0) === 0 ? 0 : errno();
}

/** Asks a seized thread to stop at the next chance. Answers 0 or an errno. */
export function interrupt(tid: number): number {
  return ptrace(PTRACE_INTERRUPT, tid, 0, 0) === 0 ? 0 : errno();
}

/** Lets a stopped thread go, handing it `signal` (0: none). Answers 0, or ESRCH where the thread is not stopped. */
export function detach(tid: number, signal: number): number {
  return ptrace(PTRACE_DETACH, tid, 0, signal) === 0 ? 0 : errno();
}

/** What {@link pollStop} saw: still on its way, stopped, or no more (dead, or not a tracee). */
export type Poll = 'running' | 'stopped' | 'gone';

/** The signal that the thread last seen `stopped` by {@link pollStop} was about to be given; 0 for any other stop. */
let heldSignal = 0;
export function signalOfLastStop(): number {
  return heldSignal;
}

/** Looks without waiting whether a tracee has stopped. Does not touch children that are no tracees, and reaps nobody. */
export function pollStop(tid: number): Poll {
  const info = waitInfo();
  if (waitid(P_PID, tid, info.address, WSTOPPED | WNOHANG | WALL) !== 0) {
    return errno() === Errno.ECHILD ? 'gone' : 'running';
  }
  if (info.view.getInt32(SI_PID, true) === 0) return 'running';
  const status = info.view.getInt32(SI_STATUS, true);
  // An event is in the upper byte; without one the thread stands before the delivery of a signal, which must not be lost.
  heldSignal = Math.floor(status / 256) === PTRACE_EVENT_STOP ? 0 : status % 256;
  return 'stopped';
}

/** Takes a dead tracee off the kernel's hands. Answers false while there is nothing to take yet. */
export function reap(tid: number): boolean {
  const info = waitInfo();
  if (waitid(P_PID, tid, info.address, WEXITED | WNOHANG | WALL) !== 0) return errno() === Errno.ECHILD;
  return info.view.getInt32(SI_PID, true) !== 0;
}

/** Room for the general registers of many threads, and the iovec through which the kernel fills a slot of it. */
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

  /** Reads the registers of a stopped thread into a slot. False where it was not stopped, or is of another CPU. */
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

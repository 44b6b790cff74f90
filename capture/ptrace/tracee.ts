import type { Arch } from '../../snapshots/arch.js';
import { Registers } from '../../snapshots/registers.js';
import { parseSyscall } from '../process/frozen.js';
import { tryText } from '../process/procfs.js';
import {
  CLONED,
  GONE,
  RUNNING,
  type RegisterSlots,
  detach,
  eventMessage,
  interrupt,
  pollStatus,
  reap,
  signalOf,
} from './ptrace.js';
import type { WaitChannel } from './wait-channel.js';

/** A thread of a stopped process. */
export interface StoppedThread {
  readonly tid: number;
  /** True once it was seen to have trapped. */
  readonly stopped: boolean;
  /** False for a thread that could not be asked to stop, such as one that another tracer holds: it may be running. */
  readonly interrupted: boolean;
  /**
   * null while they are not known. A thread that sleeps in a system call from which it does not come back has those that the
   * kernel shows without a stop.
   */
  readonly registers: Registers | null;
  /** Keeps a signal that the thread was about to be given, and delivers it as the thread is let go. */
  holdSignal(signal: number): void;
}

/**
 * What a tracee is: a thread of the process, one that was born after the copy, or another process, which a thread made by
 * clone(2). The last two stop before their first instruction, and only have to be let go.
 */
export type TraceeKind = 'thread' | 'newborn' | 'process';

/** Where the registers of a tracee are put. */
export interface Slot {
  readonly slots: RegisterSlots;
  readonly index: number;
}

/** A thread that gospy traces. */
export class Tracee implements StoppedThread {
  tid: number;
  readonly kind: TraceeKind;
  readonly interrupted = true;
  /** True once no thread that gospy traces has its id. */
  isUnknown = false;
  /** `reaped` also if reaping it is left to libuv. */
  state: 'seized' | 'stopped' | 'released' | 'dead' | 'reaped' = 'seized';
  /** True once its registers were read: from then until it is let go, it stands still. */
  stopped = false;
  /** When it was last seen not to have stopped yet, as a time of performance.now(). */
  lookedAt = performance.now();
  readonly #arch: Arch;
  readonly #slot: Slot;
  #channel: WaitChannel | null;
  /** True for the first thread of a child of gospy's own: libuv must collect its death. */
  #ownChild: boolean;
  #isAsked = false;
  /** The status with which it trapped. */
  #status: number | null = null;
  /** The signal that it was about to be given when it stopped; 0 if none. Delivered as it is let go. */
  #signal = 0;
  #shown: Registers | null = null;

  constructor(tid: number, kind: TraceeKind, ownChild: boolean, arch: Arch, slot: Slot, channel: WaitChannel | null) {
    this.tid = tid;
    this.kind = kind;
    this.#ownChild = ownChild;
    this.#arch = arch;
    this.#slot = slot;
    this.#channel = channel;
  }

  /** Takes the id of the first thread of its process, which it has from the kernel. */
  becomeFirst(pid: number, ownChild: boolean): void {
    this.tid = pid;
    this.#ownChild = ownChild;
    this.#channel = null;
    this.isUnknown = false;
    this.state = 'seized';
    // The first request may have been for the id that it has no more.
    if (this.#isAsked) interrupt(pid);
  }

  /** Asks it to stop, once: a second request would make it trap again as soon as it is let run. */
  interrupt(): void {
    if (!this.#isAsked) interrupt(this.tid);
    this.#isAsked = true;
  }

  /**
   * Checks whether it has stopped, and reads its registers if so. Returns the id of the thread or process that it has just
   * made; 0 if none.
   */
  poll(): number {
    const now = performance.now();
    const status = pollStatus(this.tid);
    if (status !== RUNNING && status !== GONE) this.#status = status;
    if (status !== GONE && (this.#status === null || this.#channel?.isQueued() === true)) {
      this.lookedAt = now;
      return 0;
    }
    if (status === GONE) {
      // Reap it now: a thread that executes another program waits until the other threads are reaped, and stops only then.
      const death = this.#ownChild ? 'reaped' : reap(this.tid);
      this.state = death === 'not yet' ? 'dead' : 'reaped';
      this.isUnknown = death === 'unknown';
      return 0;
    }
    this.state = 'stopped';
    this.#signal = signalOf(this.#status ?? 0);
    this.stopped = this.#slot.slots.read(this.tid, this.#slot.index);
    return this.#status === CLONED ? (eventMessage(this.tid) ?? 0) : 0;
  }

  /** Lets it go if it has stopped. If that fails, it was killed meanwhile. */
  release(): void {
    if (this.state === 'stopped' && detach(this.tid, this.#signal) === 0) this.state = 'released';
  }

  /** Lets it go if it has trapped at all, however long that takes. Its trap is not reported again. */
  releaseTrapped(): void {
    if (this.state !== 'seized' || this.#status === null) return;
    this.state = 'stopped';
    this.#signal = signalOf(this.#status);
    this.release();
  }

  /** Takes what the kernel shows of a thread that sleeps in a system call. Returns false if it shows nothing. */
  takeShown(pid: number): boolean {
    const shown = parseSyscall(this.#arch, tryText(`/proc/${pid}/task/${this.tid}/syscall`)?.trim() ?? '');
    this.#shown = shown === 'running' ? null : shown;
    return this.#shown !== null;
  }

  holdSignal(signal: number): void {
    this.#signal = signal;
  }

  get registers(): Registers | null {
    if (!this.stopped) return this.#shown;
    return new Registers(this.#arch, this.#slot.slots.bytes(this.#slot.index));
  }
}

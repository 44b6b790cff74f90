import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { noGoProcess, type GospyError } from '../../snapshots/errors.js';
import type { Arch } from '../../snapshots/arch.js';
import { Registers, registerSetSize } from '../../snapshots/registers.js';
import { assertOwnProc } from '../process/own-proc.js';
import { assertReachable, refusal } from '../process/permission.js';
import { isAlive, readStatus, threadState } from '../process/procfs.js';
import { detachLater, pollPending, takePending } from './pending-detach.js';
import { GONE, RUNNING, RegisterSlots, detach, interrupt, pollStop, reap, seize } from './ptrace.js';
import { sleep } from './sleep.js';

/** Threads that can be born between the first look and the stop without an allocation in the stop. */
const SPARE_SLOTS = 64;
/** Looks at the threads that have not stopped yet before gospy leaves the CPU to them. */
const SPINS = 3;
/** How long to look for a thread to seize: a process that is just executing another program has none for a while. */
const SEIZE_MS = 500;
/** How long to wait if all threads that are left sleep where no signal reaches them (state D). */
const PATIENCE_MS = 20;
/** How long to wait for threads that could not be let go at once before leaving them to the event loop. */
const SETTLE_MS = 20;

/** A thread of a stopped process. */
export interface StoppedThread {
  readonly tid: number;
  /** False for a thread that did not stop in time, or that another tracer holds: it may be running. */
  readonly stopped: boolean;
  /** null if `stopped` is false. */
  readonly registers: Registers | null;
  /** Keeps a signal that the thread was about to be given, and delivers it as the thread is let go. */
  holdSignal(signal: number): void;
}

/** A thread that gospy traces. */
class Tracee implements StoppedThread {
  readonly tid: number;
  readonly #slots: RegisterSlots;
  readonly #slot: number;
  readonly #arch: Arch;
  /** True for the first thread of a child of gospy's own: libuv must collect its death. */
  readonly ownChild: boolean;
  /** `reaped` also if reaping it is left to libuv. */
  state: 'seized' | 'stopped' | 'released' | 'dead' | 'reaped' = 'seized';
  /** The signal that it was about to be given when it stopped; 0 if none. Delivered as it is let go. */
  signal = 0;
  /** True once its registers were read: from then until it is let go, it stands still. */
  stopped = false;

  constructor(tid: number, ownChild: boolean, arch: Arch, slots: RegisterSlots, slot: number) {
    this.tid = tid;
    this.ownChild = ownChild;
    this.#arch = arch;
    this.#slots = slots;
    this.#slot = slot;
  }

  /** Checks whether it has stopped, and reads its registers if so. */
  poll(): void {
    const signal = pollStop(this.tid);
    if (signal === RUNNING) return;
    if (signal === GONE) {
      // Reap it now: a thread that executes another program waits until the other threads are reaped, and stops only then.
      this.state = this.ownChild || reap(this.tid) ? 'reaped' : 'dead';
      return;
    }
    this.state = 'stopped';
    this.signal = signal;
    this.stopped = this.#slots.read(this.tid, this.#slot);
  }

  holdSignal(signal: number): void {
    this.signal = signal;
  }

  get registers(): Registers | null {
    return this.stopped ? new Registers(this.#arch, this.#slots.bytes(this.#slot)) : null;
  }
}

/**
 * The threads of one process, from the first SEIZE to the last DETACH. Everything is synchronous: to the kernel, the tracer
 * is one thread of gospy, not gospy.
 */
export class Tracees {
  /** How many threads there were at the first look. */
  readonly expected: number;
  readonly #pid: number;
  readonly #arch: Arch;
  readonly #ownChild: boolean;
  readonly #taskDir: number;
  readonly #tracees: Tracee[] = [];
  /** Names in /proc/PID/task that were seen. A thread that could not be seized is not tried again. */
  readonly #seen = new Set<string>();
  /** Threads that could not be seized. */
  readonly #refused: number[] = [];
  readonly #only: number | null;
  #firstErrno = 0;
  #slots: RegisterSlots;
  #nextSlot = 0;

  /**
   * With `only`, just the thread of that id. Throws `noGoProcess` if there is no such process, and `permission` if /proc has
   * other pids than ptrace takes.
   */
  constructor(pid: number, arch: Arch, only: number | null = null) {
    assertOwnProc();
    this.#pid = pid;
    this.#only = only;
    this.#arch = arch;
    this.#ownChild = readStatus(pid).parentPid === process.pid;
    this.expected = readTaskDir(pid).length;
    this.#slots = new RegisterSlots(this.expected + SPARE_SLOTS, registerSetSize(arch));
    this.#taskDir = openTaskDir(pid);
  }

  /** Seizes the threads that were not seen before. Returns how many could be seized. */
  seizeNew(alsoInterrupt: boolean): number {
    let found = 0;
    for (const name of readTaskDir(this.#pid)) {
      if (this.#seen.has(name)) continue;
      this.#seen.add(name);
      const tid = Number(name);
      if (this.#only !== null && tid !== this.#only) continue;
      if (!takePending(tid)) {
        const failed = seize(tid);
        if (failed !== 0) {
          this.#firstErrno ||= failed;
          this.#refused.push(tid);
          continue;
        }
      }
      found++;
      this.#tracees.push(this.#newTracee(tid));
      if (alsoInterrupt) interrupt(tid);
    }
    return found;
  }

  /**
   * Seizes every thread. Throws `permission` or `noGoProcess` if not one could be seized for half a second: a process that is
   * just executing another program has none for a moment. A single thread is tried once: it may have ended.
   */
  seizeAll(): void {
    const deadline = performance.now() + SEIZE_MS;
    do {
      this.seizeNew(false);
      if (this.#tracees.length > 0) return;
      if (this.#only !== null) break;
      assertReachable(this.#pid, 'stop');
      this.#seen.clear();
      this.#refused.length = 0;
      sleep();
    } while (performance.now() < deadline);
    // No thread refused: there was none to ask.
    if (this.#firstErrno === 0) throw endedEarly(this.#pid, undefined);
    throw refusal(this.#pid, 'Attaching', this.#firstErrno);
  }

  interruptAll(): void {
    for (const { tid } of this.#tracees) interrupt(tid);
  }

  /**
   * Waits until every thread has stopped, also those that are born meanwhile, or until `deadline` of performance.now(). Gives
   * up sooner if all that are left sleep where no signal reaches them: that can last, and the others stand still meanwhile.
   */
  waitForAll(deadline: number): void {
    const patience = performance.now() + PATIENCE_MS;
    do {
      this.#waitForKnown(patience, deadline);
      if (this.#isComplete()) return;
    } while (this.seizeNew(true) > 0 && performance.now() < deadline);
  }

  /** The threads that live, stopped or not. */
  threads(): StoppedThread[] {
    const threads: StoppedThread[] = this.#tracees.filter(({ state }) => state !== 'dead' && state !== 'reaped');
    for (const tid of this.#refused) {
      if (isAlive(this.#pid, tid)) threads.push({ tid, stopped: false, registers: null, holdSignal: () => undefined });
    }
    return threads;
  }

  /** Lets all stopped threads go. Does nothing else: the pause lasts until this returns. */
  release(): void {
    for (const tracee of this.#tracees) {
      if (tracee.state !== 'stopped') continue;
      if (detach(tracee.tid, tracee.signal) === 0) tracee.state = 'released';
    }
  }

  /** After the pause: reaps the dead, and sees to it that threads that are still traced are let go once that is possible. */
  settle(): void {
    closeSync(this.#taskDir);
    for (const { tid, ownChild, state } of this.#tracees) {
      if (state !== 'released' && state !== 'reaped') detachLater(tid, ownChild);
    }
    const deadline = performance.now() + SETTLE_MS;
    while (pollPending() > 0 && performance.now() < deadline) sleep();
  }

  #newTracee(tid: number): Tracee {
    if (this.#nextSlot === this.#slots.capacity) {
      this.#slots = new RegisterSlots(this.#slots.capacity, registerSetSize(this.#arch));
      this.#nextSlot = 0;
    }
    const ownChild = this.#ownChild && tid === this.#pid;
    return new Tracee(tid, ownChild, this.#arch, this.#slots, this.#nextSlot++);
  }

  #waitForKnown(patience: number, deadline: number): void {
    let pending = Infinity;
    let idle = 0;
    for (;;) {
      let left = 0;
      for (const tracee of this.#tracees) {
        if (tracee.state === 'seized') tracee.poll();
        if (tracee.state === 'seized') left++;
      }
      const now = performance.now();
      if (left === 0 || now >= deadline || (now >= patience && this.#onlySleepersLeft())) return;
      idle = left < pending ? 0 : idle + 1;
      pending = left;
      if (idle > SPINS) sleep();
    }
  }

  /** True if all threads that have not stopped sleep where no signal reaches them. */
  #onlySleepersLeft(): boolean {
    const pending = this.#tracees.filter(({ state }) => state === 'seized');
    return pending.every(({ tid }) => threadState(this.#pid, tid) === 'D');
  }

  /**
   * True if the kernel counts as many threads as gospy traces: then there are no others, since a tracee is counted until it is
   * reaped. The link count of /proc/PID/task is the number of threads plus 2.
   */
  #isComplete(): boolean {
    if (this.#only !== null) return true;
    let held = 0;
    for (const { state } of this.#tracees) if (state !== 'reaped') held++;
    return fstatSync(this.#taskDir).nlink - 2 === held;
  }
}

function readTaskDir(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch (cause) {
    throw endedEarly(pid, cause);
  }
}

function openTaskDir(pid: number): number {
  try {
    return openSync(`/proc/${pid}/task`, 'r');
  } catch (cause) {
    throw endedEarly(pid, cause);
  }
}

function endedEarly(pid: number, cause: unknown): GospyError {
  return noGoProcess(`Process ${pid} ended before it could be stopped.`, { cause });
}

import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { noGoProcess, type GospyError } from '../../snapshots/errors.js';
import type { Arch } from '../../snapshots/arch.js';
import { Registers, registerSetSize } from '../../snapshots/registers.js';
import { assertReachable, refusal } from '../process/permission.js';
import { isAlive, readStatus, threadState } from '../process/procfs.js';
import { RegisterSlots, detach, interrupt, pollStop, reap, seize, signalOfLastStop } from './ptrace.js';
import { sleep } from './sleep.js';
import { detachLater, pollPending, takePending } from './pending-detach.js';

/** Threads that may be born between the first look and the stop without an allocation in the stop. */
const SPARE_SLOTS = 64;
/** Looks at the threads still on their way before gospy leaves the CPU to them. */
const SPINS = 3;
/** For how long a thread to seize is looked for: a process that executes another program has none for a while. */
const SEIZE_MS = 500;
/** For how long a stop waits on behalf of threads that sleep where no signal reaches them (state D). */
const PATIENCE_MS = 20;
/** For how long a thread that could not be let go at once is waited for before the event loop takes over. */
const SETTLE_MS = 20;

/** One thread of a process that stands still. */
export interface StoppedThread {
  readonly tid: number;
  /** False for a thread that did not stop in time, or that another tracer holds: it may be running. */
  readonly stopped: boolean;
  /** null where `stopped` is false. */
  readonly registers: Registers | null;
  /** Has the thread handed a signal as it is let go: the one that it was found about to be given. */
  hold(signal: number): void;
}

/** One thread under gospy's hand. */
class Tracee implements StoppedThread {
  readonly tid: number;
  readonly #slots: RegisterSlots;
  readonly #slot: number;
  readonly #arch: Arch;
  /** True for the first thread of a child of gospy's own: its death is for libuv to collect. */
  readonly ownChild: boolean;
  /** `reaped` also where that is none of gospy's business. */
  state: 'seized' | 'stopped' | 'released' | 'dead' | 'reaped' = 'seized';
  /** The signal it was about to be given when it stopped: handed back as it is let go. */
  signal = 0;
  /** True once its registers were read: it stood still then, until it was let go. */
  stopped = false;

  constructor(tid: number, ownChild: boolean, arch: Arch, slots: RegisterSlots, slot: number) {
    this.tid = tid;
    this.ownChild = ownChild;
    this.#arch = arch;
    this.#slots = slots;
    this.#slot = slot;
  }

  /** Looks whether it has stopped; then reads its registers. */
  poll(): void {
    const seen = pollStop(this.tid);
    if (seen === 'running') return;
    if (seen === 'gone') {
      // At once: a thread that executes another program waits until the others were collected, and stops only then.
      this.state = this.ownChild || reap(this.tid) ? 'reaped' : 'dead';
      return;
    }
    this.state = 'stopped';
    this.signal = signalOfLastStop();
    this.stopped = this.#slots.read(this.tid, this.#slot);
  }

  hold(signal: number): void {
    this.signal = signal;
  }

  get registers(): Registers | null {
    return this.stopped ? new Registers(this.#arch, this.#slots.bytes(this.#slot)) : null;
  }
}

/**
 * The threads of one process, from the first SEIZE to the last DETACH. Everything is synchronous: to the kernel the
 * tracer is one thread of gospy, not gospy.
 */
export class Tracees {
  readonly #pid: number;
  readonly #arch: Arch;
  readonly #ownChild: boolean;
  readonly #taskDir: number;
  readonly #tracees: Tracee[] = [];
  /** Names in /proc/PID/task that were looked at; a thread that could not be seized is not tried again. */
  readonly #seen = new Set<string>();
  readonly #refused: number[] = [];
  readonly #only: number | null;
  #firstErrno = 0;
  #slots: RegisterSlots;
  #nextSlot = 0;

  /** With `only`, the one thread of that id. */
  constructor(pid: number, arch: Arch, only: number | null = null) {
    this.#pid = pid;
    this.#only = only;
    this.#arch = arch;
    this.#ownChild = readStatus(pid).parentPid === process.pid;
    const capacity = readTaskDir(pid).length + SPARE_SLOTS;
    this.#slots = new RegisterSlots(capacity, registerSetSize(arch));
    this.#taskDir = openTaskDir(pid);
  }

  /** Seizes whoever is new; answers how many were. */
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
   * Seizes whoever is there. Throws what is found where not one thread could be had: `permission`, `noGoProcess`.
   * A process that is just executing another program has none for a moment.
   */
  seizeAll(): void {
    const deadline = performance.now() + SEIZE_MS;
    do {
      this.seizeNew(false);
      if (this.#tracees.length > 0) return;
      assertReachable(this.#pid, 'stop');
      this.#seen.clear();
      this.#refused.length = 0;
      sleep();
    } while (performance.now() < deadline);
    throw refusal(this.#pid, 'Attaching', this.#firstErrno);
  }

  interruptAll(): void {
    for (const { tid } of this.#tracees) interrupt(tid);
  }

  /**
   * Waits for every thread, those included that are born meanwhile, until `deadline` of performance.now(). Where only
   * such are left as sleep beyond the reach of signals, it gives up sooner: that can last, and everyone else waits too.
   */
  waitForAll(deadline: number): void {
    const patience = performance.now() + PATIENCE_MS;
    do {
      this.#waitForKnown(patience, deadline);
      if (this.#isComplete()) return;
    } while (this.seizeNew(true) > 0 && performance.now() < deadline);
  }

  /** Everyone who lives, stopped or not. */
  threads(): StoppedThread[] {
    const threads: StoppedThread[] = this.#tracees.filter(({ state }) => state !== 'dead' && state !== 'reaped');
    for (const tid of this.#refused) {
      if (isAlive(this.#pid, tid)) threads.push({ tid, stopped: false, registers: null, hold: () => undefined });
    }
    return threads;
  }

  /** Lets all go that are stopped. Nothing else happens here: the pause lasts until this returns. */
  release(): void {
    for (const tracee of this.#tracees) {
      if (tracee.state !== 'stopped') continue;
      if (detach(tracee.tid, tracee.signal) === 0) tracee.state = 'released';
    }
  }

  /** After the pause: the dead are reaped, and whoever is still traced is looked after until it can be let go. */
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

  #onlySleepersLeft(): boolean {
    const pending = this.#tracees.filter(({ state }) => state === 'seized');
    return pending.every(({ tid }) => threadState(this.#pid, tid) === 'D');
  }

  /**
   * True where the kernel counts as many threads as gospy holds: a tracee is counted until it is reaped, so that no
   * other thread can be there. The link count of /proc/PID/task is that of the threads and 2.
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

import { existsSync } from 'node:fs';
import { GospyError } from '../../snapshots/errors.js';
import type { Arch } from '../../snapshots/arch.js';
import { registerSetSize } from '../../snapshots/registers.js';
import { assertOwnProc } from '../process/own-proc.js';
import { assertReachable, refusal } from '../process/permission.js';
import { isAlive, readStatus, threadState } from '../process/procfs.js';
import { detachLater, pollPending, takePending } from './pending-detach.js';
import { RegisterSlots, TRACE_CLONE, seize } from './ptrace.js';
import { Pace, sleep } from '../process/sleep.js';
import { endedEarly, TaskDir } from './task-dir.js';
import { Tracee, type StoppedThread, type TraceeKind } from './tracee.js';
import { openChannels, type WaitChannel } from './wait-channel.js';

/** Threads that can be born between the first look and the stop without an allocation in the stop. */
const SPARE_SLOTS = 64;
/**
 * How long to look for threads that trap at once before a copy that need not wait for the others, in milliseconds: so long,
 * and so much longer per thread while each look finds more. An interrupt takes some microseconds to reach another CPU.
 */
const LOOK_MS = 0.1;
const LOOK_MS_PER_THREAD = 0.01;
/** Threads that are still late after so many milliseconds are looked at less often: this long apart. */
const HASTE_MS = 20;
const LONG_SLEEP_MS = 0.2;
/** How long to look for a thread to seize: a process that is just executing another program has none for a while. */
const SEIZE_MS = 500;
/** How long to wait if all threads that are left sleep where no signal reaches them (state D). */
const PATIENCE_MS = 20;
/** Lists of threads in which none is new, before those that the kernel counts besides are given up. */
const MAX_LISTS = 10;
/** How long to wait for threads that could not be let go at once before leaving them to the event loop. */
const SETTLE_MS = 20;

/**
 * The threads of one process, from the first SEIZE to the last DETACH. Everything is synchronous: to the kernel, the tracer
 * is one thread of gospy, not gospy.
 */
export class Tracees {
  /** How many threads there were at the first look. */
  readonly expected: number;
  readonly pid: number;
  readonly #arch: Arch;
  readonly #ownChild: boolean;
  readonly #taskDir: TaskDir;
  readonly #tracees: Tracee[] = [];
  /** Names in /proc/PID/task that were seen, but of threads that have ended. One that could not be seized is not tried again. */
  readonly #seen = new Set<string>();
  /** Threads that were reaped, and whose names were taken out of those once. */
  readonly #ended = new Set<Tracee>();
  /** Threads that could not be seized. */
  readonly #refused: number[] = [];
  /** By thread; empty if the kernel does not say. */
  readonly #channels: ReadonlyMap<number, WaitChannel>;
  readonly #only: number | null;
  #firstErrno = 0;
  /** Threads that ran on until they were found, while others had been asked to stop already. */
  #strangers = 0;
  /** True once the copy was made. */
  #isCopied = false;
  /** True if a thread stopped because it had made another: that may have been before it was asked to. */
  #hasCloned = false;
  #lateThreads = 0;
  #longestLateMs = 0;
  #slots: RegisterSlots;
  #nextSlot = 0;

  /**
   * With `only`, just the thread of that id. Throws `noGoProcess` if there is no such process, and `permission` if /proc has
   * other pids than ptrace takes.
   */
  constructor(pid: number, arch: Arch, only: number | null = null) {
    assertOwnProc();
    this.pid = pid;
    this.#only = only;
    this.#arch = arch;
    this.#ownChild = readStatus(pid).parentPid === process.pid;
    this.#taskDir = new TaskDir(pid);
    const names = this.#taskDir.names();
    this.expected = names.length;
    this.#slots = new RegisterSlots(this.expected + SPARE_SLOTS, registerSetSize(arch));
    this.#channels = openChannels(pid, names.map(Number));
  }

  /** True if a thread may have stood still since before it was asked to stop. */
  get hasCloned(): boolean {
    return this.#hasCloned;
  }

  /** Threads that had not trapped when the copy was done. */
  get lateThreads(): number {
    return this.#lateThreads;
  }

  /** The longest time that one of them can have stood still between its trap and its release. */
  get longestLateNs(): number {
    return Math.round(this.#longestLateMs * 1e6);
  }

  /** Seizes the threads that were not seen before. Returns how many are tracees now. */
  seizeNew(alsoInterrupt: boolean): number {
    this.#forgetEnded();
    let found = 0;
    for (const name of this.#taskDir.names()) {
      if (this.#seen.has(name)) continue;
      this.#seen.add(name);
      const tid = Number(name);
      if (this.#only !== null && tid !== this.#only) continue;
      const failed = takePending(tid) ? 0 : seize(tid, TRACE_CLONE);
      if (failed !== 0 && this.#adopt(tid, this.#isCopied ? 'newborn' : 'thread')) {
        found++;
        continue;
      }
      if (alsoInterrupt) this.#strangers++;
      if (failed !== 0) {
        this.#firstErrno ||= failed;
        this.#refused.push(tid);
        continue;
      }
      found++;
      const tracee = this.#newTracee(tid, 'thread');
      this.#tracees.push(tracee);
      if (alsoInterrupt) tracee.interrupt();
    }
    return found;
  }

  /**
   * Seizes every thread. Throws `permission` or `noGoProcess` if not one could be seized for half a second: a process that is
   * just executing another program has none for a moment. A single thread is tried once: it may have ended.
   */
  seizeAll(): void {
    // One that the last stop left may have another id by now.
    pollPending();
    const deadline = performance.now() + SEIZE_MS;
    do {
      this.seizeNew(false);
      if (this.#tracees.length > 0) return;
      if (this.#only !== null) break;
      assertReachable(this.pid, 'stop');
      this.#seen.clear();
      this.#refused.length = 0;
      sleep();
    } while (performance.now() < deadline);
    // No thread refused: there was none to ask.
    if (this.#firstErrno === 0) throw endedEarly(this.pid, undefined);
    throw refusal(this.pid, 'Attaching', this.#firstErrno);
  }

  interruptAll(): void {
    for (const tracee of this.#tracees) tracee.interrupt();
  }

  /**
   * Has some of the threads stop before the others, until one that `isReady` has. Returns the time of process.hrtime at
   * which none of them had stopped yet.
   */
  stopFirst(tids: readonly number[], isReady: (thread: StoppedThread) => boolean, deadline: number): bigint {
    const first = this.#tracees.filter(({ tid }) => tids.includes(tid));
    let begun = process.hrtime.bigint();
    for (const tracee of first) tracee.interrupt();
    const pace = new Pace();
    while (performance.now() < deadline) {
      const now = process.hrtime.bigint();
      for (const tracee of first) if (tracee.state === 'seized') this.#poll(tracee);
      if (first.some((tracee) => tracee.stopped && isReady(tracee))) break;
      if (first.every(({ state }) => state !== 'seized')) break;
      if (!first.some(({ state }) => state === 'stopped')) begun = now;
      pace.rest(first.length);
    }
    return begun;
  }

  /**
   * Waits until every thread has stopped, also those that are born meanwhile, or until `deadline` of performance.now(). Gives
   * up sooner if all that are left sleep where no signal reaches them: that can last, and the others stand still meanwhile.
   */
  waitForAll(deadline: number): void {
    const patience = performance.now() + PATIENCE_MS;
    do this.#waitForKnown(patience, deadline);
    while (this.#seizeMissing() > 0 && performance.now() < deadline);
  }

  /**
   * Looks for a short while for threads that trap at once. Returns true if every thread has stopped; if not, all have at
   * least been asked to, and execute nothing more before they do.
   */
  look(deadline: number): boolean {
    const begun = performance.now();
    const end = Math.min(deadline, begun + LOOK_MS + LOOK_MS_PER_THREAD * this.#tracees.length);
    const pace = new Pace();
    for (;;) {
      const left = this.#pollAll();
      const now = performance.now();
      if (this.#seizeMissing() === 0) {
        if (left === 0) return true;
        if (now >= end || (pace.isIdle && now >= begun + LOOK_MS)) return false;
      }
      pace.rest(left);
    }
  }

  /**
   * True if there is a thread that may have run while the copy was made: one that was not traced yet. It has been asked to
   * stop. Threads that tracees made stop before their first instruction.
   */
  findStrangers(): boolean {
    const before = this.#strangers;
    this.#seizeMissing();
    return this.#strangers > before;
  }

  /** The threads that live, stopped or not. */
  threads(): StoppedThread[] {
    const threads: StoppedThread[] = this.#tracees.filter(
      ({ kind, state }) => kind === 'thread' && state !== 'dead' && state !== 'reaped',
    );
    for (const tid of this.#refused) {
      if (!isAlive(this.pid, tid)) continue;
      threads.push({ tid, stopped: false, interrupted: false, registers: null, holdSignal: () => undefined });
    }
    return threads;
  }

  /** Lets all stopped threads go. Does nothing else: their pause lasts until this returns. */
  release(): void {
    for (const tracee of this.#tracees) tracee.release();
  }

  /**
   * Lets go the threads that trapped while the copy was made. All that are left now are late. Each is shown to `serve`
   * before it is let go.
   */
  releaseTrapped(serve: (thread: StoppedThread) => void): void {
    this.#isCopied = true;
    this.#serve(serve);
    for (const { kind, state } of this.#tracees) if (kind === 'thread' && state === 'seized') this.#lateThreads++;
  }

  /**
   * Waits for the late threads, and lets each go in the look that finds it. Gives up at `deadline` of performance.now(), or
   * sooner if all that are left sleep where no signal reaches them: what the kernel shows of those is taken.
   */
  serveLate(deadline: number, serve: (thread: StoppedThread) => void): void {
    const begun = performance.now();
    const onTrap = (tracee: Tracee): void => {
      const since = tracee.lookedAt;
      if (tracee.kind === 'thread') serve(tracee);
      tracee.release();
      this.#longestLateMs = Math.max(this.#longestLateMs, performance.now() - since);
    };
    while (this.#serve(onTrap) > 0) {
      const now = performance.now();
      if (now >= deadline || (now >= begun + PATIENCE_MS && this.#onlySleepersLeft())) break;
      sleep(now < begun + HASTE_MS ? undefined : LONG_SLEEP_MS);
    }
    for (const tracee of this.#tracees) {
      if (tracee.kind === 'thread' && tracee.state === 'seized' && tracee.takeShown(this.pid)) serve(tracee);
    }
  }

  /** Looks at each thread that has not stopped yet, and lets it go if it has. Returns how many are left. */
  #serve(onTrap: (tracee: Tracee) => void): number {
    let left = 0;
    for (const tracee of this.#tracees) {
      if (tracee.state === 'seized') this.#poll(tracee);
      if (tracee.state === 'seized') left++;
      if (tracee.state !== 'stopped') continue;
      try {
        onTrap(tracee);
      } finally {
        tracee.release();
      }
    }
    return left;
  }

  /** After the pause: reaps the dead, and sees to it that threads that are still traced are let go once that is possible. */
  settle(): void {
    this.#adoptUnseen();
    this.#taskDir.close();
    for (const tracee of this.#tracees) tracee.releaseTrapped();
    for (const channel of this.#channels.values()) channel.close();
    for (const { tid, state } of this.#tracees) {
      if (state !== 'released' && state !== 'reaped') detachLater(tid, { pid: this.pid, isOwnChild: this.#ownChild });
    }
    const deadline = performance.now() + SETTLE_MS;
    while (pollPending() > 0 && performance.now() < deadline) sleep();
  }

  #newTracee(tid: number, kind: TraceeKind): Tracee {
    if (this.#nextSlot === this.#slots.capacity) {
      this.#slots = new RegisterSlots(this.#slots.capacity, registerSetSize(this.#arch));
      this.#nextSlot = 0;
    }
    const ownChild = this.#ownChild && tid === this.pid;
    const slot = { slots: this.#slots, index: this.#nextSlot++ };
    return new Tracee(tid, kind, ownChild, this.#arch, slot, this.#channels.get(tid) ?? null);
  }

  /** Takes a thread or process that was born a tracee. Returns false if it was not: no first thread is. */
  #adopt(tid: number, kind: TraceeKind): boolean {
    if (tid === this.pid) return false;
    const tracee = this.#newTracee(tid, kind);
    tracee.poll();
    if (tracee.state !== 'seized' && tracee.state !== 'stopped') return false;
    this.#tracees.push(tracee);
    return true;
  }

  #poll(tracee: Tracee): void {
    this.#meet(tracee.poll());
    if (tracee.isUnknown && tracee.tid !== this.pid) this.#follow(tracee);
  }

  /**
   * Keeps hold of a thread that has executed another program. That ended the others, and gave it the id of the first thread, under
   * which it is still traced (de_thread in fs/exec.c).
   */
  #follow(tracee: Tracee): void {
    const first = this.#tracees.find(({ tid }) => tid === this.pid);
    // What asks for the first thread by its id finds this one now.
    if (first !== undefined && first.state !== 'released' && first.state !== 'reaped') return;
    if (first !== undefined) first.state = 'reaped';
    this.#seen.delete(String(tracee.tid));
    tracee.becomeFirst(this.pid, this.#ownChild);
  }

  /** Takes what a tracee has just made; `tid` is 0 if that is nothing. */
  #meet(tid: number): void {
    if (tid === 0) return;
    this.#hasCloned = true;
    this.#forgetEnded();
    if (this.#seen.has(String(tid))) return;
    this.#seen.add(String(tid));
    const isThread = existsSync(`/proc/${this.pid}/task/${tid}`);
    this.#adopt(tid, !isThread ? 'process' : this.#isCopied ? 'newborn' : 'thread');
  }

  /** Once a thread was reaped, its id may be given to another. That of the first thread stays with the process. */
  #forgetEnded(): void {
    for (const tracee of this.#tracees) {
      if (tracee.state !== 'reaped' || tracee.tid === this.pid || this.#ended.has(tracee)) continue;
      this.#ended.add(tracee);
      this.#seen.delete(String(tracee.tid));
    }
  }

  /** Takes threads that were born tracees, and whose parents could not say so. */
  #adoptUnseen(): void {
    if (this.#only !== null || this.#isComplete()) return;
    try {
      for (const name of this.#taskDir.names()) if (!this.#seen.has(name)) this.#adopt(Number(name), 'newborn');
    } catch (error) {
      if (!(error instanceof GospyError)) throw error;
    }
    this.release();
  }

  /** Looks at each thread that has not stopped yet. Returns how many are left. */
  #pollAll(): number {
    let left = 0;
    for (const tracee of this.#tracees) {
      if (tracee.state === 'seized') this.#poll(tracee);
      if (tracee.state === 'seized') left++;
    }
    return left;
  }

  #waitForKnown(patience: number, deadline: number): void {
    const pace = new Pace();
    for (;;) {
      const left = this.#pollAll();
      const now = performance.now();
      if (left === 0 || now >= deadline || (now >= patience && this.#onlySleepersLeft())) return;
      pace.rest(left);
    }
  }

  /** True if all threads that have not stopped sleep where no signal reaches them. */
  #onlySleepersLeft(): boolean {
    const pending = this.#tracees.filter(({ state }) => state === 'seized');
    return pending.every(({ tid }) => threadState(this.pid, tid) === 'D');
  }

  /** Seizes threads that were not seen before, if any are missing. Returns how many: a list that has none may lack some. */
  #seizeMissing(): number {
    let found = 0;
    for (let lists = 0; lists < MAX_LISTS && found === 0 && !this.#isComplete(); lists++) found = this.seizeNew(true);
    return found;
  }

  /** True if the kernel counts as many threads as gospy knows: a tracee is counted until it is reaped. */
  #isComplete(): boolean {
    if (this.#only !== null) return true;
    let held = 0;
    for (const { kind, state } of this.#tracees) if (kind !== 'process' && state !== 'reaped') held++;
    return this.#taskDir.isWhole(held, this.#refused);
  }
}

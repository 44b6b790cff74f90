import { closeSync, openSync, readSync } from 'node:fs';
import { detach, GONE, interrupt, pollStop, RegisterSlots, RUNNING, seize } from '../../capture/ptrace/ptrace.js';
import { ptrace } from '../../capture/libc.js';
import { hostArch } from '../../capture/process/procfs.js';
import type { Addr } from '../../snapshots/address.js';
import type { Mapping } from '../../snapshots/image.js';
import type { MemorySource, Range, Window } from '../../snapshots/memory.js';
import { Registers, registerSetSize } from '../../snapshots/registers.js';

const PTRACE_SINGLESTEP = 9;
const SIGTRAP = 5;
/** With it Go preempts a thread (sigPreempt in signal_unix.go, Go 1.14+). */
const SIGURG = 23;
const PAGE = 4096;
const SPINS = 200;
const NAP_MS = 0.05;
const PATIENCE_MS = 20_000;

/** Steps one thread of a program from instruction to instruction while the others run. */
export class Stepper {
  readonly #tid: number;
  readonly #slots = new RegisterSlots(1, registerSetSize(hostArch()));
  /** The next step delivers it. */
  #signal = 0;
  /** For so many steps more SIGURG is kept back. */
  #unpreempted = 0;
  #keptBack = 0;

  /** Stops the thread. Throws if it cannot be traced. */
  constructor(tid: number) {
    this.#tid = tid;
    const failed = seize(tid) || interrupt(tid);
    if (failed !== 0) throw new Error(`thread ${tid} cannot be traced: errno ${failed}`);
    this.#signal = this.#wait();
  }

  /** The registers before the next instruction. */
  get registers(): Registers {
    if (!this.#slots.read(this.#tid, 0)) throw new Error(`the registers of thread ${this.#tid} cannot be read`);
    return new Registers(hostArch(), this.#slots.bytes(0));
  }

  /**
   * Executes one instruction and returns 0. If a signal is due, returns its number instead; the next step delivers it, and
   * leaves the thread at the start of the handler.
   */
  step(): number {
    if (this.#unpreempted > 0) this.#unpreempted--;
    else if (this.#keptBack !== 0) {
      this.#signal = this.#keptBack;
      this.#keptBack = 0;
      return this.#signal;
    }
    this.#signal = this.#executeOne();
    if (this.#signal !== SIGURG || this.#unpreempted === 0) return this.#signal;
    this.#keptBack = SIGURG;
    this.#signal = 0;
    return this.step();
  }

  /** Keeps SIGURG back for so many steps: it is due after them. */
  keepPreemptionBack(steps: number): void {
    this.#unpreempted = steps;
  }

  close(): void {
    detach(this.#tid, this.#signal || this.#keptBack);
  }

  /** Returns the signal that is due then, or 0. */
  #executeOne(): number {
    if (ptrace(PTRACE_SINGLESTEP, this.#tid, 0, this.#signal) !== 0) throw new Error('the thread cannot be stepped');
    const stop = this.#wait();
    return stop === SIGTRAP ? 0 : stop;
  }

  #wait(): number {
    const deadline = performance.now() + PATIENCE_MS;
    for (let looks = 0; ; looks++) {
      const signal = pollStop(this.#tid);
      if (signal === GONE) throw new Error(`thread ${this.#tid} has ended`);
      if (signal !== RUNNING) return signal;
      if (looks < SPINS) continue;
      if (performance.now() > deadline) throw new Error(`thread ${this.#tid} does not stop`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, NAP_MS);
    }
  }
}

/** The memory of a program at each step. Windows stay valid: `refresh` reads their pages again in place. */
export class SteppedMemory implements MemorySource {
  readonly #file: number;
  readonly #mappings: readonly Mapping[];
  readonly #pages = new Map<number, Window | null>();
  readonly #changing: { readonly lo: number; readonly bytes: Uint8Array }[] = [];

  constructor(pid: number, mappings: readonly Mapping[]) {
    this.#file = openSync(`/proc/${pid}/mem`, 'r');
    this.#mappings = mappings;
  }

  window(addr: number): Window | null {
    const lo = addr - (addr % PAGE);
    let page = this.#pages.get(lo);
    if (page === undefined) {
      page = this.#open(lo);
      this.#pages.set(lo, page);
    }
    return page;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    for (let at = lo - (lo % PAGE); at < hi; at += PAGE) {
      if (this.window(at) !== null) yield { lo: Math.max(lo, at) as Addr, hi: Math.min(hi, at + PAGE) as Addr };
    }
  }

  /** Reads again what may have changed. */
  refresh(): void {
    for (const { lo, bytes } of this.#changing) this.#read(lo, bytes);
  }

  close(): void {
    closeSync(this.#file);
  }

  #open(lo: number): Window | null {
    const mapping = this.#mappings.find(({ start, end }) => lo >= start && lo < end);
    const bytes = new Uint8Array(PAGE);
    if (!this.#read(lo, bytes)) return null;
    if (mapping?.writable !== false) this.#changing.push({ lo, bytes });
    return { lo, hi: lo + PAGE, view: new DataView(bytes.buffer) };
  }

  #read(lo: number, bytes: Uint8Array): boolean {
    try {
      return readSync(this.#file, bytes, 0, PAGE, lo) === PAGE;
    } catch {
      return false;
    }
  }
}

import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { waitingPc, type InjectionSite, type InjectionSites } from '../../analyze/runtime/injection-site.js';
import type { GoProgram } from '../../analyze/program.js';
import { RED_ZONE } from '../../analyze/runtime/memory-ranges.js';
import { GospyError } from '../../snapshots/errors.js';
import type { Arch } from '../../snapshots/arch.js';
import type { Range } from '../../snapshots/memory.js';
import { errnoName } from '../libc.js';
import { EXIT_KILL, reap, setOptions } from '../ptrace/ptrace.js';
import { sleep } from '../process/sleep.js';
import { withStopped } from '../ptrace/stop.js';
import type { StoppedThread } from '../ptrace/tracee.js';
import { endFirst } from '../process/out-of-memory.js';
import { tryText } from '../process/procfs.js';
import { asInjectable, awaitStop, inject, type Injected } from './injection.js';

/** clone3, wait4 and their flags on x86-64 Linux. */
const SYS_WAIT4 = 61;
const SYS_CLONE3 = 435;
const CLONE_FILES = 0x400n;
const CLONE_CLEAR_SIGHAND = 0x100000000n;
const CLONE_ARGS_BYTES = 64;
const WNOHANG_WALL = 0x40000001;

/** What is written below a thread's stack pointer: after the red zone, and within the thread's system stack. */
const SCRATCH_BYTES = 512;
/** The stack of an orphaned clone, within the scratch bytes. */
const STACK_AT = 128;
const STACK_BYTES = 128;
/** Bytes left free between the scratch bytes and the end of the stack. */
const MARGIN = 256;
/** The exit status of a clone that ends itself because gospy died before it tied the clone to its own life. */
export const ORPHAN_STATUS = 0x67;

/** How long to wait for a killed clone to die, and for a thread of the process that can collect it, in milliseconds. */
const DEATH_MS = 2000;
const COLLECT_MS = 500;
/** So often a thread is looked for at least: on a busy machine all that time may pass while the first one waits for a CPU. */
const COLLECT_LOOKS = 20;

/** A frozen copy of the process. Neither can change the other's private memory. */
export interface Clone {
  /** In gospy's pid namespace. */
  readonly pid: number;
  /** In the pid namespace of the process. */
  readonly namespacePid: number;
}

/** Clones that have not been ended, each with the process that it was made from. */
const living = new Map<Clone, CloneTarget>();

/** The process that is cloned. */
export interface CloneTarget {
  readonly pid: number;
  readonly arch: Arch;
  readonly sites: InjectionSites;
}

/** What is known of a process before it is cloned. */
export interface ClonerOptions {
  readonly target: CloneTarget;
  /** The system stack of each thread, by its id in its own namespace. */
  readonly stacks: ReadonlyMap<number, Range>;
  /** The id of a thread in its own namespace, by that in gospy's. */
  readonly namespaceTid: (tid: number) => number;
  /** A thread that is alive. */
  readonly liveTid: number;
  /** The system call: a warm-up uses another one. */
  readonly call?: number;
}

/** Clones a stopped process. Everything that can be prepared before the stop is. */
export class Cloner {
  readonly #target: CloneTarget;
  readonly #stacks: ReadonlyMap<number, Range>;
  readonly #namespaceTid: (tid: number) => number;
  readonly #file: number;
  readonly #call: number;

  /** Throws a system error if the memory of the process cannot be written. */
  constructor({ target, stacks, namespaceTid, liveTid, call = SYS_CLONE3 }: ClonerOptions) {
    this.#target = target;
    this.#stacks = stacks;
    this.#namespaceTid = namespaceTid;
    this.#file = openSync(`/proc/${target.pid}/task/${liveTid}/mem`, 'r+');
    this.#call = call;
  }

  close(): void {
    closeSync(this.#file);
  }

  /**
   * Has one of the stopped threads of the process make a clone. If that is not possible, returns the reason and leaves the
   * process as it was. The clone stands still before its first instruction, and executes none while gospy lives. Should
   * gospy die, the clone ends itself at once: its signal handlers are gone (CLONE_CLEAR_SIGHAND), it holds no open file that
   * the process does not hold (CLONE_FILES), and its first return leads to runtime.exit.
   */
  clone(threads: readonly StoppedThread[]): Clone | string {
    const { sites } = this.#target;
    let reason = "none of the runtime's own threads waits where a system call can be made in its name";
    for (const thread of threads) {
      const injectable = asInjectable(thread, sites);
      if (injectable === null) continue;
      const { registers, site } = injectable;
      const scratch = this.#findScratch(thread.tid, Number(registers.sp));
      if (scratch === null) continue;
      this.#writeScratch(scratch, site.returnOffset);
      const done = inject(injectable, { number: this.#call, args: [scratch, CLONE_ARGS_BYTES] });
      const clone = cloneOf(done);
      if (clone !== null && typeof clone !== 'string') {
        living.set(clone, this.#target);
        return clone;
      }
      if (clone !== null) return clone;
      reason = 'a signal came in between';
    }
    return reason;
  }

  /** Threads that seem able to make a clone, by what the kernel says of them without a stop. */
  *findAble(): Iterable<number> {
    for (const { tid, sp } of findWaiting(this.#target)) if (this.#findScratch(tid, sp) !== null) yield tid;
  }

  /** Whether a stopped thread can make a clone. */
  isAble(thread: StoppedThread): boolean {
    const injectable = asInjectable(thread, this.#target.sites);
    return injectable !== null && this.#findScratch(thread.tid, Number(injectable.registers.sp)) !== null;
  }

  /**
   * The address of free bytes on the thread's system stack; null if too few are left, or the thread is on another stack: one that
   * waits for signals is on a goroutine's (signal_recv in sigqueue.go), which may have other memory right below.
   */
  #findScratch(tid: number, sp: number): number | null {
    const stack = this.#stacks.get(this.#namespaceTid(tid));
    const at = sp - (sp % 16) - RED_ZONE - SCRATCH_BYTES;
    return stack === undefined || sp > stack.hi || at < stack.lo + MARGIN ? null : at;
  }

  /**
   * Writes struct clone_args (linux/sched.h): flags at 0, stack at 40, stack_size at 48; exit_signal stays 0. After it comes
   * the stack on which an orphaned clone runs: the return address of the wait leads to runtime.exit, the status follows.
   */
  #writeScratch(scratch: number, returnOffset: number): void {
    const bytes = Buffer.alloc(SCRATCH_BYTES);
    const word = (offset: number, value: bigint): number => bytes.writeBigUInt64LE(value, offset);
    word(0, CLONE_FILES | CLONE_CLEAR_SIGHAND);
    word(40, BigInt(scratch + STACK_AT));
    word(48, BigInt(STACK_BYTES));
    const returned = STACK_AT + STACK_BYTES + returnOffset;
    word(returned, BigInt(this.#target.sites.exit));
    word(returned + 16, BigInt(ORPHAN_STATUS));
    writeSync(this.#file, bytes, 0, bytes.length, scratch);
  }
}

/** The clone that a call made; the reason if there is none; null if another thread should be tried. */
function cloneOf(done: Injected): Clone | string | null {
  if (done.kind === 'gone') return 'the thread that was to make it has ended';
  if (done.kind === 'interrupted') return null;
  if (done.value < 0) return `the kernel refuses it (clone3: ${errnoName(-done.value)})`;
  if (done.child === null) return 'the kernel did not report it';
  return { pid: done.child, namespacePid: done.value };
}

/** Waits for a fresh clone to stop, after the process was let go. From here on the clone dies with gospy. */
export function tieToGospy({ pid }: Clone): void {
  endFirst(pid);
  awaitStop(pid);
  setOptions(pid, EXIT_KILL);
}

/**
 * Ends a clone and has the process collect it. Returns false if no thread of the process was free to do that: then an entry
 * in the process table is left, which the next capture in mode clone collects.
 */
export function endClone(clone: Clone): boolean {
  const target = living.get(clone);
  if (target === undefined) return true;
  living.delete(clone);
  try {
    process.kill(clone.pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
  const deadline = performance.now() + DEATH_MS;
  while (reap(clone.pid) === 'not yet' && performance.now() < deadline) sleep();
  return collect(target, clone.namespacePid);
}

/** Ends every clone: for a gospy that is about to end. */
export function endClones(): void {
  for (const clone of [...living.keys()]) endClone(clone);
}

/** Has the process wait4 for its dead child, in a thread that waits for work anyway. No other thread is stopped. */
function collect(target: CloneTarget, namespacePid: number): boolean {
  const deadline = performance.now() + COLLECT_MS;
  for (let looks = 0; looks < COLLECT_LOOKS || performance.now() < deadline; looks++) {
    for (const { tid } of findWaiting(target)) {
      if (collectBy(target, tid, namespacePid)) return true;
    }
    sleep();
  }
  return false;
}

function collectBy(target: CloneTarget, tid: number, namespacePid: number): boolean {
  try {
    const { value } = withStopped(target.pid, { arch: target.arch, only: tid }, ([thread]) => {
      const injectable = thread === undefined ? null : asInjectable(thread, target.sites);
      if (injectable === null) return false;
      const done = inject(injectable, { number: SYS_WAIT4, args: [namespacePid, 0, WNOHANG_WALL, 0] });
      // Negative (ECHILD): it was collected already.
      return done.kind === 'returned' && done.value !== 0;
    });
    return value;
  } catch (error) {
    if (error instanceof GospyError) return false;
    throw error;
  }
}

/** Threads that seem to wait at a site, by what the kernel says of them without a stop, with their SP. */
function* findWaiting({ pid, sites }: CloneTarget): Iterable<{ readonly tid: number; readonly sp: number }> {
  for (const name of listFolder(`/proc/${pid}/task`)) {
    // The number of the system call, its six arguments, SP and pc.
    const words = readText(`/proc/${pid}/task/${name}/syscall`).trim().split(' ').map(Number);
    const [sp = 0, pc] = words.slice(-2);
    if (sites.waits.some((site) => waitingPc(site) === pc && canStartAgain(site, words)))
      yield { tid: Number(name), sp };
  }
}

function canStartAgain({ number, limit }: InjectionSite, [call, ...args]: readonly number[]): boolean {
  return call === number && (limit === null || args[limit] === 0);
}

/**
 * Collects what a killed capture left: dead children of the process that no wait of its own would find, and that ended as
 * only a clone made by gospy ends.
 */
export function collectLeftovers(program: GoProgram, sites: InjectionSites): void {
  const { pid, arch } = program.image;
  for (const name of listFolder(`/proc/${pid}/task`)) {
    for (const child of readText(`/proc/${pid}/task/${name}/children`).split(' ').filter(Boolean)) {
      const left = asLeftover(Number(child));
      if (left !== null) collect({ pid, arch, sites }, left);
    }
  }
}

/**
 * If a process is a zombie with exit_signal 0 that was killed, or that ended itself as an orphan, its pid in its own
 * namespace; else null.
 */
function asLeftover(pid: number): number | null {
  const stat = readText(`/proc/${pid}/stat`);
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  const [state, exitSignal, exitCode] = [fields[0], Number(fields[35]), Number(fields[49])];
  if (state !== 'Z' || exitSignal !== 0 || (exitCode !== 9 && exitCode !== ORPHAN_STATUS * 256)) return null;
  const inner = /^NSpid:.*\s(\d+)$/m.exec(readText(`/proc/${pid}/status`))?.[1];
  return inner === undefined ? pid : Number(inner);
}

/** Empty if the folder is gone. */
function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Empty if the file is gone. */
function readText(path: string): string {
  return tryText(path) ?? '';
}

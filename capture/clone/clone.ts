import { closeSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs';
import { waitingPc, type InjectionSites } from '../../analyze/runtime/injection-site.js';
import type { GoProgram } from '../../analyze/program.js';
import { GospyError } from '../../snapshots/errors.js';
import type { Arch } from '../../snapshots/arch.js';
import { awaitStop, inject, usable, type Injected } from './injection.js';
import { errnoName } from '../libc.js';
import { sleep } from '../ptrace/sleep.js';
import { EXIT_KILL, reap, setOptions } from '../ptrace/ptrace.js';
import { withStopped } from '../ptrace/stop.js';
import type { StoppedThread } from '../ptrace/tracees.js';

/** clone3, wait4 and their flags on x86-64 Linux. */
const SYS_WAIT4 = 61;
const SYS_CLONE3 = 435;
const CLONE_FILES = 0x400n;
const CLONE_CLEAR_SIGHAND = 0x100000000n;
const CLONE_ARGS_BYTES = 64;
const WNOHANG_WALL = 0x40000001;

/** Room below a thread's stack pointer that is written to: behind the red zone, within its system stack. */
const RED_ZONE = 128;
const SCRATCH_BYTES = 512;
const STACK_AT = 128;
const STACK_BYTES = 128;
/** Left free between the scratch room and the end of the stack. */
const MARGIN = 256;
/** The status with which a clone that nobody holds ends itself. */
export const ORPHAN_STATUS = 0x67;

/** For how long a killed clone is waited for, and a thread of the process that can collect it, in milliseconds. */
const DEATH_MS = 2000;
const COLLECT_MS = 500;

/** A frozen copy of the process, which shares no memory with it that it could change. */
export interface Clone {
  /** As gospy sees it. */
  readonly pid: number;
  /** As the process sees it. */
  readonly namespacePid: number;
}

/** Clones that are not ended yet, by the process that they were made from. */
const living = new Map<Clone, CloneTarget>();

/** What a clone is made of. */
export interface CloneTarget {
  readonly pid: number;
  readonly arch: Arch;
  readonly sites: InjectionSites;
}

/** What a clone is made with, prepared before the stop. */
export class Cloner {
  readonly #target: CloneTarget;
  readonly #stacks: ReadonlyMap<number, number>;
  readonly #file: number;
  readonly #call: number;

  /**
   * `stacks` holds the lowest address of the system stack of each thread, `tid` is a thread that lives, and `call` the
   * system call: another one for a rehearsal. Throws a system error where the memory of the process cannot be written.
   */
  constructor(target: CloneTarget, stacks: ReadonlyMap<number, number>, tid: number, call = SYS_CLONE3) {
    this.#target = target;
    this.#stacks = stacks;
    this.#file = openSync(`/proc/${target.pid}/task/${tid}/mem`, 'r+');
    this.#call = call;
  }

  close(): void {
    closeSync(this.#file);
  }

  /**
   * Makes a clone by one of the stopped threads of the process. Answers a reason where that is not to be had; the process
   * is as it was then. The clone stands still at its first instruction. It runs none while gospy lives; should gospy die,
   * it ends itself at once: its signal handlers are gone, it has no part in the files of the process, and the first
   * return leads it to runtime.exit.
   */
  clone(threads: readonly StoppedThread[], namespaceTids: ReadonlyMap<number, number>): Clone | string {
    const { sites } = this.#target;
    let reason = "none of the runtime's own threads waits where a system call can be made in its name";
    for (const thread of threads) {
      const able = usable(thread, sites);
      if (able === null) continue;
      const scratch = this.#scratch(Number(able.registers.sp), namespaceTids.get(thread.tid) ?? thread.tid);
      if (scratch === null) continue;
      this.#prepare(scratch, able.site.returnOffset);
      const done = inject(able, { number: this.#call, args: [scratch, CLONE_ARGS_BYTES] });
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

  /** Where the thread's system stack is free. */
  #scratch(sp: number, namespaceTid: number): number | null {
    const lowest = this.#stacks.get(namespaceTid);
    const at = sp - (sp % 16) - RED_ZONE - SCRATCH_BYTES;
    return lowest === undefined || at < lowest + MARGIN ? null : at;
  }

  /** struct clone_args (linux/sched.h), and the stack of a clone that nobody holds. */
  #prepare(scratch: number, returnOffset: number): void {
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

function cloneOf(done: Injected): Clone | string | null {
  if (done.kind === 'gone') return 'the thread that was to make it has ended';
  if (done.kind === 'interrupted') return null;
  if (done.value < 0) return `the kernel refuses it (clone3: ${errnoName(-done.value)})`;
  if (done.child === null) return 'the kernel did not tell of it';
  return { pid: done.child, namespacePid: done.value };
}

/** Takes a fresh clone in hand, after the process was let go: from here on it dies with gospy. */
export function hold({ pid }: Clone): void {
  awaitStop(pid);
  setOptions(pid, EXIT_KILL);
}

/**
 * Ends a clone and has the process collect it. Answers false where no thread of the process was to be had for that: what
 * is left is an entry in the process table, which the next capture collects.
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
  while (!reap(clone.pid) && performance.now() < deadline) sleep();
  return collect(target, clone.namespacePid);
}

/** Ends every clone, for a gospy that is itself about to end. */
export function endClones(): void {
  for (const clone of [...living.keys()]) endClone(clone);
}

/** Has the process wait for a dead child of its own, by a thread that waits for work anyway. Nobody else is stopped. */
function collect(target: CloneTarget, namespacePid: number): boolean {
  const deadline = performance.now() + COLLECT_MS;
  do {
    for (const tid of waiting(target)) {
      if (collectBy(target, tid, namespacePid)) return true;
    }
    sleep();
  } while (performance.now() < deadline);
  return false;
}

function collectBy(target: CloneTarget, tid: number, namespacePid: number): boolean {
  try {
    const { value } = withStopped(target.pid, { arch: target.arch, only: tid }, ([thread]) => {
      const able = thread === undefined ? null : usable(thread, target.sites);
      if (able === null) return false;
      const call = { number: SYS_WAIT4, args: [namespacePid, 0, WNOHANG_WALL, 0] };
      const done = inject(able, call);
      // ECHILD: it was collected already.
      return done.kind === 'returned' && done.value !== 0;
    });
    return value;
  } catch (error) {
    if (error instanceof GospyError) return false;
    throw error;
  }
}

/** Threads that seem to wait where they can be used, by what the kernel says without stopping them. */
function* waiting({ pid, sites }: CloneTarget): Iterable<number> {
  const pcs = new Set(sites.waits.map((site) => `0x${waitingPc(site).toString(16)}`));
  for (const name of list(`/proc/${pid}/task`)) {
    const pc = text(`/proc/${pid}/task/${name}/syscall`).trim().split(' ').at(-1) ?? '';
    if (pcs.has(pc)) yield Number(name);
  }
}

/**
 * Collects what an earlier capture left that was killed: dead children of the process that no wait of its own would find,
 * ended as only a clone of gospy's is.
 */
export function collectLeftovers(program: GoProgram, sites: InjectionSites): void {
  const { pid, arch } = program.image;
  for (const name of list(`/proc/${pid}/task`)) {
    for (const child of text(`/proc/${pid}/task/${name}/children`).split(' ').filter(Boolean)) {
      const left = leftover(Number(child));
      if (left !== null) collect({ pid, arch, sites }, left);
    }
  }
}

/** The pid within its namespace of a zombie with exit_signal 0 that was killed, or ended itself as an orphan; else null. */
function leftover(pid: number): number | null {
  const stat = text(`/proc/${pid}/stat`);
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  const [state, exitSignal, exitCode] = [fields[0], Number(fields[35]), Number(fields[49])];
  if (state !== 'Z' || exitSignal !== 0 || (exitCode !== 9 && exitCode !== ORPHAN_STATUS * 256)) return null;
  const inner = /^NSpid:.*\s(\d+)$/m.exec(text(`/proc/${pid}/status`))?.[1];
  return inner === undefined ? pid : Number(inner);
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

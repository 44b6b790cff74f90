import { closeSync, existsSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { type GospyError, noGoProcess } from '../../snapshots/errors.js';
import { isIoWorker } from '../process/procfs.js';

/**
 * The threads of a process, as /proc/PID/task lists them. Those that do I/O for it in the kernel are left out: they execute
 * nothing of the program, and to be stopped makes what they do fail. Throws `noGoProcess` once the process has ended.
 */
export class TaskDir {
  readonly #pid: number;
  readonly #file: number;
  /** Names of the last list. */
  #names: ReadonlySet<string> = new Set();
  /** Threads that were left out of it. */
  #ioWorkers: readonly number[] = [];

  constructor(pid: number) {
    this.#pid = pid;
    this.#file = this.#ofLiving(() => openSync(`/proc/${pid}/task`, 'r'));
  }

  /**
   * Their ids. Some may be missing, where other threads end meanwhile: the kernel ends the list at a thread that has just ended,
   * and where it then goes on it counts the threads that are left (proc_task_readdir and next_tid in fs/proc/base.c).
   */
  names(): string[] {
    const all = this.#ofLiving(() => readdirSync(`/proc/${this.#pid}/task`));
    const names = all.filter((name) => this.#names.has(name) || !isIoWorker(this.#pid, Number(name)));
    this.#names = new Set(names);
    this.#ioWorkers = all.filter((name) => !this.#names.has(name)).map(Number);
    return names;
  }

  /**
   * True if the process has no threads but so many, `others` as far as they are there, and those that the last list left out.
   * Threads that are dead and not reaped are there.
   */
  isWhole(threads: number, others: readonly number[]): boolean {
    // The count comes first: one of the others that ends after it makes this false, never true. The link count is 2 more.
    const more = fstatSync(this.#file).nlink - 2 - threads;
    return more === 0 || more === this.#present(others) + this.#present(this.#ioWorkers);
  }

  close(): void {
    closeSync(this.#file);
  }

  #present(tids: readonly number[]): number {
    let present = 0;
    for (const tid of tids) if (existsSync(`/proc/${this.#pid}/task/${tid}`)) present++;
    return present;
  }

  #ofLiving<T>(read: () => T): T {
    try {
      return read();
    } catch (cause) {
      throw endedEarly(this.#pid, cause);
    }
  }
}

export function endedEarly(pid: number, cause: unknown): GospyError {
  return noGoProcess(`Process ${pid} ended before it could be stopped.`, { cause });
}

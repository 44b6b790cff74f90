import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
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
  /** True if threads were left out of it. */
  #hasIoWorkers = false;

  constructor(pid: number) {
    this.#pid = pid;
    this.#file = this.#ofLiving(() => openSync(`/proc/${pid}/task`, 'r'));
  }

  /** Their ids. */
  names(): string[] {
    const all = this.#ofLiving(() => readdirSync(`/proc/${this.#pid}/task`));
    const names = all.filter((name) => this.#names.has(name) || !isIoWorker(this.#pid, Number(name)));
    this.#names = new Set(names);
    this.#hasIoWorkers = names.length < all.length;
    return names;
  }

  /**
   * True if there are so many, with those that are dead and not reaped; false also where only {@link names} can tell. Quicker
   * than that.
   */
  isCount(threads: number): boolean {
    // Where some are left out, one of them that ends hides a new thread. The link count is 2 more.
    return !this.#hasIoWorkers && fstatSync(this.#file).nlink - 2 === threads;
  }

  close(): void {
    closeSync(this.#file);
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

import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { type GospyError, noGoProcess } from '../../snapshots/errors.js';

/** The threads of a process, as /proc/PID/task lists them. Throws `noGoProcess` once the process has ended. */
export class TaskDir {
  readonly #pid: number;
  readonly #file: number;

  constructor(pid: number) {
    this.#pid = pid;
    this.#file = this.#ofLiving(() => openSync(`/proc/${pid}/task`, 'r'));
  }

  /** Their ids. */
  names(): string[] {
    return this.#ofLiving(() => readdirSync(`/proc/${this.#pid}/task`));
  }

  /** How many there are, with those that are dead and not reaped: quicker. */
  count(): number {
    // The link count is 2 more.
    return fstatSync(this.#file).nlink - 2;
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

import type { Test } from 'tap';
import { Pinned } from '../../capture/libc.js';
import { MemoryPort } from '../../capture/process/memory-port.js';
import type { Registers } from '../../snapshots/registers.js';
import { Target } from './targets.js';

/** What a line of moment.c holds. */
export interface Line {
  /** Counted up by the thread itself. */
  readonly count: number;
  /** Written by system calls. */
  readonly written: bigint;
  /** Counted up by signal handlers of the thread, or by threads that it made. */
  readonly handled: number;
}

/** moment.c as a process: threads with a line of memory each. */
export class Moment {
  readonly target: Target;
  readonly pid: number;
  readonly #port: MemoryPort;
  readonly #addr: number;
  readonly #lineBytes: number;
  readonly #lines: number;
  readonly #copy: Pinned;

  private constructor(target: Target, where: string) {
    const [addr = '', lineBytes = '', lines = ''] = where.split(' ');
    this.target = target;
    this.pid = target.pid;
    this.#addr = Number(addr);
    this.#lineBytes = Number(lineBytes);
    this.#lines = Number(lines);
    this.#copy = new Pinned(this.#lines * this.#lineBytes);
    this.#port = new MemoryPort(target.pid, target.pid);
  }

  /** Starts the program in a mode; it ends with the test. */
  static async start(t: Test, program: string, ...args: string[]): Promise<Moment> {
    const target = await Target.start(program, ...args);
    const moment = new Moment(target, target.preamble[0] ?? '');
    t.teardown(async () => {
      moment.#port.close();
      await target.end();
    });
    return moment;
  }

  /** Copies all lines by one system call. */
  read(): void {
    const length = this.#copy.bytes.length;
    const done = this.#port.read(this.#addr, this.#copy, 0, length);
    if (done !== length) throw new Error(`${done} of ${length} bytes of lines could be read`);
  }

  /** The lines as they were at the last {@link read}. */
  lines(): Line[] {
    return Array.from({ length: this.#lines }, (_, i) => {
      const word = (offset: number): bigint => this.#copy.view.getBigUint64(i * this.#lineBytes + offset, true);
      return { count: Number(word(0)), written: word(8), handled: Number(word(16)) };
    });
  }

  /** In mode `count`, the line of the thread that has these registers, and its number in them; null for other threads. */
  counterOf(registers: Registers): { readonly line: number; readonly count: number } | null {
    const [where, number] = registers.arch === 'amd64' ? ['rbx', 'r12'] : ['x19', 'x20'];
    const line = (Number(registers.get(where)) - this.#addr) / this.#lineBytes;
    if (!Number.isInteger(line) || line < 0 || line >= this.#lines) return null;
    return { line, count: Number(registers.get(number)) };
  }
}

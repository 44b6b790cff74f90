import { spawn, type ChildProcess } from 'node:child_process';
import type { Test } from 'tap';

/** A shell that spins until the process ends whose id it is given. */
const SPIN = 'while [ -d "/proc/$1" ]; do i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; done';

/** Processes that use their CPU and do nothing else, until `end` or until this process ends, however it does. */
export class Load {
  readonly #spinning: readonly ChildProcess[];

  constructor(processes: number) {
    const args = ['-c', SPIN, 'sh', String(process.pid)];
    this.#spinning = Array.from({ length: processes }, () => spawn('sh', args, { stdio: 'ignore' }));
  }

  end(): void {
    for (const child of this.#spinning) child.kill('SIGKILL');
  }
}

/** A load that ends with the test. */
export function startLoad(t: Test, processes: number): void {
  const load = new Load(processes);
  t.teardown(() => load.end());
}

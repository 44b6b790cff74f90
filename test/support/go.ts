import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { skip, type SkippableTest } from './skip.js';

export { buildGo } from './go-build.js';

/** What these helpers need of a tap test. */
interface Test {
  teardown(end: () => void): void;
}

let found: boolean | null = null;

/**
 * Returns whether Go programs can be built: a `go` that can fetch other releases (1.21 or newer) is on PATH. Without one,
 * skips the test, which has to return.
 */
export function requireGo(t: SkippableTest): boolean {
  if (hasGo()) return true;
  skip(t, 'no go (1.21 or newer) on PATH to build the programs under test');
  return false;
}

/** Returns whether a `go` that can fetch other releases is on PATH. */
export function hasGo(): boolean {
  found ??= findGo();
  return found;
}

function findGo(): boolean {
  try {
    const version = execFileSync('go', ['version'], {
      encoding: 'utf8',
      env: { ...process.env, GOTOOLCHAIN: 'local' },
    });
    const minor = / go1\.(\d+)/.exec(version)?.[1];
    return minor !== undefined && Number(minor) >= 21;
  } catch {
    return false;
  }
}

/** How long a program may take to write what is awaited, on a busy machine. */
const PATIENCE_MS = 120_000;

export interface StartOptions {
  readonly args?: readonly string[];
  /** Added to the environment of the test. */
  readonly env?: Readonly<Record<string, string>>;
  /** What the program writes to stdout once it is up; by default a line that starts with `ready`. */
  readonly ready?: RegExp;
}

/** Starts a program and waits until it is ready. It ends with the test. */
export async function startGo(t: Test, path: string, options: StartOptions = {}): Promise<GoProcess> {
  const child = spawn(path, options.args ?? [], {
    env: { ...process.env, GOTRACEBACK: 'system', ...options.env },
    stdio: 'pipe',
  });
  const started = new GoProcess(child);
  t.teardown(() => started.signal('SIGKILL'));
  await started.waitFor(options.ready ?? /^ready.*\n/m);
  return started;
}

/**
 * A program that a test started, with everything it has written. The kernel says whether it lives, because Node takes a
 * child that a tracer in the same process has stopped for one that has ended.
 */
export class GoProcess {
  stdout = '';
  stderr = '';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #startTime: string | null;
  readonly #closed: Promise<void>;
  #isClosed = false;
  #failure: Error | null = null;
  #asked: Promise<unknown> = Promise.resolve();

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#startTime = child.pid === undefined ? null : startTime(child.pid);
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    child.stdin.on('error', (error) => (this.#failure = error));
    this.#closed = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#failure = error;
        resolve();
      });
      child.once('close', () => resolve());
    });
    void this.#closed.then(() => (this.#isClosed = true));
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`the program did not start: ${String(this.#failure)}`);
    return this.#child.pid;
  }

  /** Whether the program has not ended. */
  alive(): boolean {
    return this.#startTime !== null && startTime(this.pid) === this.#startTime;
  }

  /**
   * Resolves with the match once stdout from `from` on holds one. Rejects if the program ends without it, or writes
   * nothing of the kind for two minutes.
   */
  async waitFor(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(this.stdout.slice(from));
      if (match !== null) return match;
      if (this.#isClosed) throw new Error(`the program ended before it wrote ${String(pattern)}: ${this.#ending()}`);
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`the program never wrote ${String(pattern)}, only: ${this.stdout.slice(from)}`);
      await this.#change(left);
    }
  }

  /** Writes a command to stdin and resolves with the next line on stdout. */
  ask(command: string): Promise<string> {
    const answer = this.#asked.then(async () => {
      const from = this.stdout.length;
      this.#child.stdin.write(`${command}\n`);
      const line = await this.waitFor(/^(.*)\n/, from);
      return line[1] ?? '';
    });
    this.#asked = answer.catch(() => undefined);
    return answer;
  }

  /** Sends a signal, unless the program has ended. */
  signal(name: NodeJS.Signals): void {
    if (this.alive()) process.kill(this.pid, name);
  }

  /**
   * Has the runtime print every goroutine and end; resolves with all of stderr. Programs that handle SIGQUIT
   * themselves still do this on SIGABRT, and C programs with a Go library on SIGSEGV.
   */
  async quit(signal: 'SIGQUIT' | 'SIGABRT' | 'SIGSEGV' = 'SIGQUIT'): Promise<string> {
    if (!this.alive()) throw new Error(`the program has ended: ${this.#ending()}`);
    this.signal(signal);
    await this.#closed;
    return this.stderr;
  }

  /** Ends the program at once; resolves when it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#closed;
  }

  /** Resolves when stdout has more, the program has ended, or `waitMs` have passed. */
  #change(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#child.stdout.off('data', done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      this.#child.stdout.once('data', done);
      void this.#closed.then(done);
    });
  }

  #ending(): string {
    const how =
      this.#failure?.message ?? `exit code ${String(this.#child.exitCode)}, signal ${String(this.#child.signalCode)}`;
    return `${how}\n${this.stderr.slice(0, 4000)}`;
  }
}

/**
 * Returns when a process started, in clock ticks since boot, which no later process of the same pid shares; null if it
 * has ended.
 */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...others] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? null : (others[18] ?? null);
  } catch {
    return null;
  }
}

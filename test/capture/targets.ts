import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { hostArch, listThreads, threadState } from '../../capture/process/procfs.js';
import type { StopOptions } from '../../capture/ptrace/stop.js';

/** Options for stops that have all the time that a busy machine may need. */
export const patient: StopOptions = { arch: hostArch(), timeoutMs: 60_000, hardLimitSeconds: 90 };

const programs = fileURLToPath(new URL('../../../test/capture/programs/', import.meta.url));

/** The C programs beside this file, built into a folder that `remove` deletes. */
export interface Programs {
  /** target.c: its first argument is what it does. */
  readonly c: string;
  /** moment.c: threads whose lines of memory show whether they move. */
  readonly moment: string;
  /** loader.c: runs the static program that its arguments name, from memory without a file. */
  readonly loader: string;
  /** short-lists.c: a library to preload, with which the lists of a process's threads lack one. */
  readonly shortLists: string;
  readonly folder: string;
  remove(): void;
}

/** Builds the C programs. */
export function buildC(): Programs {
  const folder = mkdtempSync(join(tmpdir(), 'gospy-capture-'));
  const build = (name: string, ...flags: string[]): string => {
    const out = join(folder, name);
    execFileSync('gcc', ['-O1', '-pthread', ...flags, '-o', out, join(programs, `${name}.c`)]);
    return out;
  };
  const [c, moment, loader] = [build('target'), build('moment'), build('loader')];
  const shortLists = build('short-lists', '-shared', '-fPIC');
  return { c, moment, loader, shortLists, folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Builds busy.go, and returns its path. */
export function buildBusyGo(folder: string): string {
  const out = join(folder, 'busy');
  execFileSync('go', ['build', '-o', out, join(programs, 'busy.go')], {
    env: { ...process.env, CGO_ENABLED: '0', GO111MODULE: 'off', GOTOOLCHAIN: 'local' },
  });
  return out;
}

/** True if a process has ended, and nobody has asked for its exit status yet. */
export function isZombie(pid: number): boolean {
  return threadState(pid, pid) === 'Z';
}

/** True if the busy Go program has become `sleep`. */
export function isSleep(pid: number): boolean {
  return readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n';
}

/** True once a process of `busy busy` has become one of `busy /bin/sleep 1000`, and its runtime has its threads. */
export function isAnew(pid: number): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('sleep') && listThreads(pid).length > 4;
}

/** What a target says about itself. */
export interface Pulse {
  readonly beats: number;
  readonly longestGapNs: number;
  readonly counts: readonly [number, number, number];
}

/** A process that says by itself whether it runs. */
export class Target {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<NodeJS.Signals | number>;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  private constructor(child: ChildProcess) {
    if (child.stdout === null || child.pid === undefined) throw new Error('the target could not be started');
    this.child = child;
    this.pid = child.pid;
    this.exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code ?? -1)));
    this.#reader = createInterface(child.stdout);
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Starts a program and waits until it writes the line `ready`. The lines before that are in `preamble`. */
  static async start(file: string, ...args: string[]): Promise<Target & { preamble: string[] }> {
    const target = Target.spawn(file, ...args);
    const preamble: string[] = [];
    for (let line = await target.line(); line !== 'ready'; line = await target.line()) preamble.push(line);
    return Object.assign(target, { preamble });
  }

  static spawn(file: string, ...args: string[]): Target {
    return new Target(spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
  }

  /** As {@link start}, without the rights of root. */
  static async startAs(uid: number, file: string, ...args: string[]): Promise<Target> {
    const target = new Target(spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'], uid, gid: uid }));
    while ((await target.line()) !== 'ready');
    return target;
  }

  /** The next line that it writes. */
  async line(): Promise<string> {
    const next = await soon(this.#lines.next(), `a line of process ${this.pid} (${this.child.spawnargs.join(' ')})`);
    if (next.done === true) throw new Error(`the target has ended: ${await soon(this.exited, 'its exit status')}`);
    return next.value;
  }

  async pulse(): Promise<Pulse> {
    this.child.stdin?.write('?\n');
    const [beats = 0, longestGapNs = 0, a = 0, b = 0, c = 0] = (await this.line()).split(' ').map(Number);
    return { beats, longestGapNs, counts: [a, b, c] };
  }

  /** Waits until its heart has beaten ten times more, which only a process that runs can do. */
  async beatsOn(): Promise<Pulse> {
    const { beats } = await this.pulse();
    let pulse = await this.pulse();
    await until(async () => {
      pulse = await this.pulse();
      return pulse.beats >= beats + 10;
    }, `ten beats of process ${this.pid} after beat ${beats}`);
    return pulse;
  }

  async end(): Promise<void> {
    this.child.kill('SIGKILL');
    await soon(this.exited, `the end of process ${this.pid}`);
    this.#reader.close();
  }
}

/** The states of all threads, as the kernel writes them: `S`, `R`, `t`... */
export function threadStates(pid: number): string[] {
  return taskStatus(pid).map((status) => /^State:\s*(\S)/m.exec(status)?.[1] ?? '?');
}

/** The tracer of each thread; 0 if nobody traces it. */
export function tracers(pid: number): number[] {
  return taskStatus(pid).map((status) => Number(/^TracerPid:\s*(\d+)/m.exec(status)?.[1] ?? -1));
}

function taskStatus(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((tid) => {
    try {
      return [readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8')];
    } catch {
      return []; // it ended meanwhile
    }
  });
}

/** True if nobody traces the process and none of its threads is stopped. */
export function isFree(pid: number): boolean {
  return tracers(pid).every((tracer) => tracer === 0) && threadStates(pid).every((state) => !'tT'.includes(state));
}

/** How long a test waits for what must come, on a machine however busy. */
const PATIENCE_MS = 60_000;

/** Waits until a condition is true. Throws, with `what` was awaited, if that takes longer than a minute. */
export async function until(condition: () => boolean | Promise<boolean>, what = condition.toString()): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`awaited in vain for ${PATIENCE_MS} ms: ${what}`);
    await sleep(2);
  }
}

/** As {@link until}, without giving the event loop a turn: a capture that is under way goes on in the very state that is waited for. */
export function waitHere(condition: () => boolean): void {
  const word = new Int32Array(new SharedArrayBuffer(4));
  const deadline = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`awaited in vain: ${condition.toString()}`);
    Atomics.wait(word, 0, 0, 1);
  }
}

/** Waits for a promise. Throws, with `what` was awaited, if that takes longer than a minute. */
export async function soon<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`awaited in vain for ${PATIENCE_MS} ms: ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Above every pid that a kernel gives. */
export const NO_PID = 2 ** 22 + 1;

/** What a function throws; undefined if it returns. */
export function thrownBy(body: () => unknown): unknown {
  try {
    body();
    return undefined;
  } catch (error) {
    return error;
  }
}

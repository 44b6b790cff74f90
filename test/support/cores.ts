import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildDelve } from './delve.js';
import { temporaryFolder } from './gsp.js';
import { untilQuiet } from './quiet.js';

const run = promisify(execFile);

interface Test {
  teardown(end: () => void): void;
}

/** What a program left when it ended. */
export interface Crashed {
  readonly core: string;
  readonly stderr: string;
}

export interface CrashOptions {
  readonly args?: readonly string[];
  /** coredump_filter: which mappings are written to the core. See core(5). */
  readonly filter?: string;
  /** Sent once the program is ready. Without it, the program ends by itself. */
  readonly signal?: NodeJS.Signals;
  /**
   * Whether the signal waits until the program is at rest: then its traceback and its core, which is written later, show the same
   * moment. Not for programs that never are.
   */
  readonly atRest?: boolean;
  /** What the program prints once it is ready, `ready` by default; null if it prints nothing. */
  readonly ready?: RegExp | null;
  /** A command that runs the program, such as an emulator with its options. */
  readonly under?: readonly string[];
  /** Matches the name of the core file; by default those that start with `core`. */
  readonly named?: RegExp;
}

/** After this time a program that prints nothing counts as ready. */
const SETTLE_MS = 500;

/**
 * Runs a program with GOTRACEBACK=crash until it ends and the kernel has written a core. If the kernel passes cores to
 * another program here, gdb writes it.
 */
export async function crash(t: Test, program: string, options: CrashOptions = {}): Promise<Crashed> {
  const folder = mkdtempSync(join(temporaryFolder(t), 'crash-'));
  const { args = [], filter = '0x33', under = [] } = options;
  const byKernel = kernelWritesHere() || under.length > 0;
  const command = [...under, program, ...args];
  const script = `ulimit -c unlimited; echo ${filter} > /proc/self/coredump_filter; exec "$@"`;
  const core = join(folder, 'gdb.core');
  const child = byKernel
    ? spawn('sh', ['-c', script, 'sh', ...command], { cwd: folder, env: environment() })
    : spawn('gdb', [...underGdb(core), '--args', ...command], { cwd: folder, env: environment() });
  t.teardown(() => child.kill('SIGKILL'));
  const stderr = await untilEnd(child, options);
  if (!byKernel) return { core, stderr };
  const wanted = options.named ?? /^core/;
  const name = readdirSync(folder).find((file) => wanted.test(file));
  if (name === undefined) throw new Error(`${program} left no core: ${stderr.slice(0, 2000)}`);
  return { core: join(folder, name), stderr };
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, GOTRACEBACK: 'crash', GODEBUG: 'tracebacklabels=1' };
}

/** True if the kernel writes cores to the folder that a program runs in. */
function kernelWritesHere(): boolean {
  return /^[^|/]/.test(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'));
}

function underGdb(core: string): string[] {
  const pass = ['SIGURG', 'SIGSEGV', 'SIGQUIT', 'SIGPIPE'].map((signal) => `handle ${signal} nostop noprint pass`);
  return ['-batch', ...[...pass, 'run', `generate-core-file ${core}`, 'kill'].flatMap((line) => ['-ex', line])];
}

async function untilEnd(
  child: ChildProcess,
  { signal, atRest = false, ready = /ready/ }: CrashOptions,
): Promise<string> {
  let [stdout, stderr] = ['', ''];
  const closed = once(child, 'close');
  if (ready === null) setTimeout(() => child.kill(signal), SETTLE_MS);
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
  const isReady = new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('utf8');
      if (ready?.test(stdout) === true) resolve();
    });
  });
  if (signal !== undefined && ready !== null) {
    await Promise.race([isReady, closed]);
    if (atRest && child.pid !== undefined) await untilQuiet(child.pid);
    child.kill(signal);
  }
  await closed;
  return stderr;
}

/** Has gcore write a core of a running process. Returns its path. */
export async function gcore(t: Test, pid: number): Promise<string> {
  const prefix = join(temporaryFolder(t), 'gcore');
  await run('gcore', ['-o', prefix, String(pid)]);
  return sparse(`${prefix}.${pid}`);
}

/** Makes holes of a file's zeros: gcore writes every page that the heap has reserved. */
async function sparse(path: string): Promise<string> {
  await run('cp', ['--sparse=always', path, `${path}.sparse`]);
  renameSync(`${path}.sparse`, path);
  return path;
}

/** Has Delve's `dump` write a core of a running process. Returns its path. */
export async function delveDump(t: Test, pid: number): Promise<string> {
  const path = join(temporaryFolder(t), 'delve.core');
  const child = spawn(await buildDelve(), [
    ...['attach', String(pid), '--allow-non-terminal-interactive=true', '--check-go-version=false'],
  ]);
  t.teardown(() => child.kill('SIGKILL'));
  child.stdin.end(`dump ${path}\nquit\nn\n`);
  await once(child, 'close');
  if (!existsSync(path)) throw new Error('Delve left no core');
  return sparse(path);
}

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildDelve } from './delve.js';
import { temporaryFolder } from './gsp.js';

const run = promisify(execFile);

interface Test {
  teardown(end: () => void): void;
}

/** A program that has ended, and left this. */
export interface Crashed {
  readonly core: string;
  readonly stderr: string;
}

export interface CrashOptions {
  readonly args?: readonly string[];
  /** What is mapped how is in the core: core(5). */
  readonly filter?: string;
  /** Sent once the program has printed `ready`; without it, the program ends by itself. */
  readonly signal?: NodeJS.Signals;
  /** What the program prints once it may be ended; null for one that prints nothing. */
  readonly ready?: RegExp | null;
  /** Runs the program: an emulator and its options. */
  readonly under?: readonly string[];
  /** Name of the core file. */
  readonly named?: RegExp;
}

/** A program that prints nothing is taken to be up after so long. */
const SETTLE_MS = 500;

/**
 * Runs a program under GOTRACEBACK=crash until it ends with a core of the kernel's; of gdb's where this machine's kernel
 * hands cores to another program.
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
  const stderr = await untilEnd(child, options.signal, options.ready === undefined ? /ready/ : options.ready);
  if (!byKernel) return { core, stderr };
  const wanted = options.named ?? /^core/;
  const name = readdirSync(folder).find((file) => wanted.test(file));
  if (name === undefined) throw new Error(`${program} left no core: ${stderr.slice(0, 2000)}`);
  return { core: join(folder, name), stderr };
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, GOTRACEBACK: 'crash', GODEBUG: 'tracebacklabels=1' };
}

/** True where cores are written into the folder that the program runs in. */
function kernelWritesHere(): boolean {
  return /^[^|/]/.test(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'));
}

function underGdb(core: string): string[] {
  const pass = ['SIGURG', 'SIGSEGV', 'SIGQUIT', 'SIGPIPE'].map((signal) => `handle ${signal} nostop noprint pass`);
  return ['-batch', ...[...pass, 'run', `generate-core-file ${core}`, 'kill'].flatMap((line) => ['-ex', line])];
}

async function untilEnd(
  child: ChildProcess,
  signal: NodeJS.Signals | undefined,
  ready: RegExp | null,
): Promise<string> {
  let [stdout, stderr] = ['', ''];
  if (ready === null) setTimeout(() => child.kill(signal), SETTLE_MS);
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
  child.stdout?.on('data', (chunk: Buffer) => {
    const wasReady = ready?.test(stdout);
    stdout += chunk.toString('utf8');
    if (signal !== undefined && wasReady === false && ready?.test(stdout) === true) child.kill(signal);
  });
  await once(child, 'close');
  return stderr;
}

/** A core of a running process, written by gcore. */
export async function gcore(t: Test, pid: number): Promise<string> {
  const prefix = join(temporaryFolder(t), 'gcore');
  await run('gcore', ['-o', prefix, String(pid)]);
  return sparse(`${prefix}.${pid}`);
}

/** The same file with holes for its zeros: gcore writes every page of the heap's reserve. */
async function sparse(path: string): Promise<string> {
  await run('cp', ['--sparse=always', path, `${path}.sparse`]);
  renameSync(`${path}.sparse`, path);
  return path;
}

/** A core of a running process, written by Delve's `dump`. */
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

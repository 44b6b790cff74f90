import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { GoProcess } from '../test/support/go.js';

/** The arguments with which the executable has Node run the command: see rolldown.config.js. */
export const GOSPY = ['--v8-pool-size=1', fileURLToPath(new URL('../gospy/gospy.js', import.meta.url))] as const;
export const run = promisify(execFile);

/** Takes the place of a test for the helpers in test/support: runs what was registered for teardown at the end. */
export class Bench {
  readonly #ends: (() => void)[] = [];
  teardown(end: () => void): void {
    this.#ends.push(end);
  }
  fail(message: string): void {
    throw new Error(message);
  }
  comment(message: string): void {
    process.stderr.write(`${message}\n`);
  }
  close(): void {
    for (const end of this.#ends) end();
  }
}

/** Returns the median; of an even number of values, the upper one of the two in the middle. */
export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
};

/** Returns the smallest value that is at least as large as this share of all of them: 0.95 for the 95th percentile. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** Returns the whole number that follows `name` on the command line; `otherwise` if it is not given. */
export function numberOption(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name);
  if (at < 0) return otherwise;
  const value = Number(process.argv[at + 1]);
  if (!Number.isSafeInteger(value) || value <= 0) throw new Error(`${name} takes a whole number above 0`);
  return value;
}

/** Prints a row of the table: what was measured, then the median, least and largest value. */
export function printRow(what: string, values: readonly number[], unit: string): void {
  const [mid, least, most] = [median(values), Math.min(...values), Math.max(...values)].map((v) => v.toFixed(2));
  process.stdout.write(`| ${what} | ${mid ?? ''} ${unit} | ${least ?? ''} | ${most ?? ''} |\n`);
}

/** Runs `action` and returns how long it took, in milliseconds. */
export async function timed(action: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await action();
  return performance.now() - begun;
}

/** Runs `action` and returns the largest gap that the program felt in the meantime, in milliseconds. */
export async function largestGap(program: GoProcess, action: () => Promise<unknown>): Promise<number> {
  await program.ask('gap');
  await action();
  return Number(await program.ask('gap')) / 1e6;
}

/** Returns the path of Delve, which is built if it is missing; null if that fails. */
export function delve(): string | null {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'gospy-test', 'bin');
  const path = join(folder, 'dlv');
  if (existsSync(path)) return path;
  try {
    const env = { ...process.env, GOBIN: folder, GOFLAGS: '' };
    execFileSync('go', ['install', 'github.com/go-delve/delve/cmd/dlv@latest'], { env, stdio: 'ignore' });
    return path;
  } catch {
    process.stderr.write('Delve could not be built and is skipped\n');
    return null;
  }
}

/** Something that another tool does with a process. */
interface Peer {
  readonly name: string;
  readonly action: () => Promise<unknown>;
}

/** Returns what the peers that are installed do with a process. They write into `folder`. */
export function peersOn(pid: number, folder: string): Peer[] {
  const dlv = delve();
  const gcore = { name: 'gcore', action: () => run('gcore', ['-o', join(folder, 'core'), String(pid)]) };
  if (dlv === null) return [gcore];
  const script = (line: string): Promise<unknown> => {
    const attach = `"${dlv}" attach ${pid} --allow-non-terminal-interactive=true`;
    return run('sh', ['-c', `printf '%s\\nquit\\nn\\n' "${line}" | ${attach} >/dev/null`]);
  };
  return [
    { name: 'Delve attach + dump', action: () => script(`dump ${join(folder, 'dlv.core')}`) },
    { name: 'Delve attach + goroutines', action: () => script('goroutines') },
    gcore,
  ];
}

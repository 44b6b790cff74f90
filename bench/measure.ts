import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const GOSPY = fileURLToPath(new URL('../src/gospy.js', import.meta.url));
export const run = promisify(execFile);

/** Stands in for a test: ends what was started when the measurement is over. */
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

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
};

export function note(what: string, values: readonly number[], unit: string): void {
  const [mid, least, most] = [median(values), Math.min(...values), Math.max(...values)].map((v) => v.toFixed(2));
  process.stdout.write(`| ${what} | ${mid ?? ''} ${unit} | ${least ?? ''} | ${most ?? ''} |\n`);
}

export async function timed(action: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await action();
  return performance.now() - begun;
}

/** The path of Delve, which is built where it is missing; null where that fails. */
export function delve(): string | null {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'gospy-test', 'bin');
  const path = join(folder, 'dlv');
  if (existsSync(path)) return path;
  try {
    const env = { ...process.env, GOBIN: folder, GOFLAGS: '' };
    execFileSync('go', ['install', 'github.com/go-delve/delve/cmd/dlv@latest'], { env, stdio: 'ignore' });
    return path;
  } catch {
    process.stderr.write('Delve could not be built: it is left out\n');
    return null;
  }
}

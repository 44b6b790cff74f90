import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { cacheFolder } from './go-build.js';
import { withLock } from './lock.js';

const run = promisify(execFile);

/**
 * Installs the packages that a requirements file names into a virtual environment in the cache of the tests, unless they are there.
 * Returns its Python.
 */
export async function pythonWith(requirements: string): Promise<string> {
  const key = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 16);
  const folder = join(cacheFolder(), `python-${key}`);
  const installed = join(folder, 'installed');
  const python = join(installed, 'bin', 'python');
  if (existsSync(python)) return python;
  mkdirSync(folder, { recursive: true });
  await withLock(join(folder, 'lock'), async () => {
    if (existsSync(python)) return;
    const unfinished = join(folder, `unfinished-${process.pid}`);
    await run('python3', ['-m', 'venv', unfinished]);
    await run(join(unfinished, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '-r', requirements]);
    renameSync(unfinished, installed);
  });
  return python;
}

/** Runs a script with a question as JSON on its standard input, and returns what it answers as JSON. */
export async function askPython<T>(python: string, script: string, question: unknown): Promise<T> {
  const child = spawn(python, ['-B', script], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(JSON.stringify(question));
  const closed = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  await closed;
  if (child.exitCode !== 0) throw new Error(`${script} failed: ${stderr}`);
  return JSON.parse(stdout) as T;
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { esbuildPath } from '../../src/demo/server.js';

/** A Go program that a test started: esbuild, serving a folder on loopback. */
export interface GoTarget {
  readonly pid: number;
  readonly path: string;
  /** Sends SIGQUIT and resolves with the traceback that the program ends with. */
  quit(): Promise<string>;
}

/** Starts the program, by the command `under` if there is one. It ends with the test. */
export async function startGoTarget(
  t: { teardown(end: () => unknown): void },
  folder: string,
  under: readonly string[] = [],
): Promise<GoTarget> {
  const path = esbuildPath();
  const [file, ...args] = [...under, path, `--servedir=${folder}`, '--serve=127.0.0.1:0'];
  const child = spawn(file, args, {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, GOTRACEBACK: 'system' },
  });
  const closed = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  let said = '';
  await new Promise<void>((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
      if (said.includes('Local:')) resolve();
    });
    child.once('close', () => resolve());
  });
  if (child.pid === undefined || child.exitCode !== null) throw new Error(`esbuild did not start: ${said}`);
  return {
    pid: child.pid,
    path,
    async quit() {
      child.kill('SIGQUIT');
      await closed;
      return said;
    },
  };
}

/** Returns a field of /proc/PID/status, trimmed; empty if it is missing. */
export function statusField(pid: number, name: string): string {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`${name}:`));
  return line?.slice(name.length + 1).trim() ?? '';
}

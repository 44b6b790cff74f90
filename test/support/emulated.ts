import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { startGo, type GoProcess, type StartOptions } from './go.js';
import { temporaryFolder } from './gsp.js';
import { skip, type SkippableTest } from './skip.js';

/** Runs a program until a signal ends it. qemu writes a core of the program, and the kernel one of qemu. */
const EMULATED = 'cd "$1" && ulimit -c unlimited && exec qemu-aarch64 "$2"';

/** Returns whether programs for arm64 can be run; without an emulator, skips the test, which has to return. */
export function requireEmulator(t: SkippableTest): boolean {
  try {
    execFileSync('qemu-aarch64', ['-version'], { stdio: 'ignore' });
    return true;
  } catch {
    skip(t, 'no qemu-aarch64 on PATH to run programs for arm64');
    return false;
  }
}

/** Starts a program for arm64, and waits until it is ready. */
export function startEmulated(t: Parameters<typeof startGo>[0], path: string): Promise<GoProcess> {
  return startGo(t, 'qemu-aarch64', { args: [path] });
}

/** What a program for arm64 wrote, and its core. */
export interface Dumped {
  readonly core: string;
  readonly stdout: string;
  /** With the traceback of the signal that ended it. */
  readonly stderr: string;
}

/** Runs a program for arm64 until it is ready, and ends it with a core. */
export async function dumpEmulated(
  t: Parameters<typeof temporaryFolder>[0],
  path: string,
  options: StartOptions = {},
): Promise<Dumped> {
  const folder = temporaryFolder(t);
  const program = await startGo(t, 'sh', {
    ...options,
    args: ['-c', EMULATED, 'sh', folder, path],
    env: { GOTRACEBACK: 'crash' },
  });
  const stderr = await program.quit();
  const file = readdirSync(folder).find((name) => /^qemu_.*\.core$/.test(name));
  if (file === undefined) throw new Error(`no core: ${readdirSync(folder).join()}`);
  return { core: join(folder, file), stdout: program.stdout, stderr };
}

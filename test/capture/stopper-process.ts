import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface StopperOptions {
  /** How many times it stops the process. */
  readonly count: number;
  /** How long each stop lasts. */
  readonly holdMs?: number;
  /** How long it waits between two stops. */
  readonly pauseMs?: number;
  readonly hardLimitSeconds?: number;
  /** Whether the stops are logical ones. */
  readonly logical?: boolean;
  /** Fails unless the process is let go soon after each stop, while the stopper lives on. */
  readonly checked?: boolean;
}

export interface Stopper {
  readonly child: ChildProcess;
  /** Resolves just before the first stop. */
  readonly begun: Promise<void>;
  readonly exited: Promise<NodeJS.Signals | number>;
}

/** Starts stopper.js in a process of its own. `under` is a command that runs it, in the folder `cwd`. */
export function startStopper(
  pid: number,
  options: StopperOptions,
  under: readonly string[] = [],
  cwd?: string,
): Stopper {
  const script = fileURLToPath(new URL('./stopper.js', import.meta.url));
  const [file, ...args] = [...under, process.execPath, script, String(pid), JSON.stringify(options)];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd });
  return {
    child,
    begun: new Promise((resolve) => child.stdout.once('data', () => resolve())),
    exited: new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code ?? -1))),
  };
}

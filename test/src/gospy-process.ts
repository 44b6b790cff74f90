import { spawn, type StdioOptions } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The built command. */
export const GOSPY = fileURLToPath(new URL('../../gospy/gospy.js', import.meta.url));

export interface Ended {
  /** null if a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs gospy in a process of its own, as users do. `stdoutPath` names a file for its standard output, and `command` another
 * build of gospy. `under` is a command, such as unshare, that runs it, and `node` the executable of another release of Node.
 */
export function gospy(
  args: readonly string[],
  options: {
    env?: NodeJS.ProcessEnv;
    stdoutPath?: string;
    command?: string;
    under?: readonly string[];
    node?: string;
  } = {},
): Promise<Ended> {
  const out = options.stdoutPath === undefined ? null : openSync(options.stdoutPath, 'w');
  const stdio: StdioOptions = ['ignore', out ?? 'pipe', 'pipe'];
  return new Promise((resolve, reject) => {
    const node = options.node ?? process.execPath;
    const [file = '', ...rest] = [...(options.under ?? []), node, options.command ?? GOSPY, ...args];
    const child = spawn(file, rest, {
      stdio,
      env: { ...process.env, GOSPY_DEBUG: '', ...options.env },
    });
    if (out !== null) closeSync(out);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout: text(stdout), stderr: text(stderr) }));
  });
}

const HOOK = new URL('./interrupt-hook.js', import.meta.url).href;

/**
 * When gospy gets a signal: when it opens the memory of its target, while its target is stopped, when it has created the
 * file to write or the folder for it, when it has written to standard output, or as it begins to prove leaks in a clone.
 */
export type Instant = 'memory' | 'stop' | 'file' | 'output' | 'proof';

/** Runs gospy and has it get a signal at an instant. `pid` is its target. */
export function interruptedAt(
  instant: Instant,
  signal: NodeJS.Signals,
  args: readonly string[],
  { pid, env = {} }: { pid?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  return gospy(args, {
    env: {
      ...env,
      NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import ${HOOK}`,
      GOSPY_TEST_INTERRUPT_AT: instant,
      GOSPY_TEST_INTERRUPT_BY: signal,
      GOSPY_TEST_INTERRUPT_PID: pid === undefined ? '' : String(pid),
    },
  });
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString('utf8');
}

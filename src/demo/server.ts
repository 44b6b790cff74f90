import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unsupported } from '../../snapshots/errors.js';

/** A server that is not up by then will not come. */
const START_LIMIT_MS = 20_000;
const REQUEST_LIMIT_MS = 5_000;
/** Connections that are kept open, so that the server has something to wait for. */
const VISITORS = 3;

/** A Go program at work: esbuild, serving a folder on loopback. */
export interface DemoServer {
  readonly pid: number;
  readonly url: string;
  /** Asks for the page; true where the server answers with it. */
  answers(): Promise<boolean>;
  /** Ends the process and removes its folder, at once; may be called twice. */
  stop(): void;
}

/** Path of esbuild's executable for this machine. Throws `unsupported` where npm did not install it. */
export function esbuildPath(): string {
  const name = `@esbuild/${process.platform}-${process.arch}`;
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/esbuild`);
  } catch (cause) {
    throw unsupported(`the demo program is not installed: npm left out the optional package ${name}`, { cause });
  }
}

/** Starts `executable` as a server and waits until it listens; `onStart` is given what ends it before any waiting. */
export async function startServer(executable: string, onStart: (stop: () => void) => void): Promise<DemoServer> {
  const folder = mkdtempSync(join(tmpdir(), 'gospy-demo-'));
  const page = `<p>served by esbuild, watched by gospy</p>\n`;
  writeFileSync(join(folder, 'index.html'), page);
  // The open standard input is a leash: esbuild ends when it closes, so also when gospy is killed.
  const child = spawn(executable, [`--servedir=${folder}`, '--serve=127.0.0.1:0'], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  const visitors = new Agent({ keepAlive: true });
  const stop = (): void => {
    visitors.destroy();
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  onStart(stop);
  const url = await listening(child);
  if (child.pid === undefined) throw new Error('esbuild listens, but has no process id');
  await Promise.all(Array.from({ length: VISITORS }, () => fetchText(url, visitors)));
  return { pid: child.pid, url, answers: async () => (await fetchText(url, false)) === page, stop };
}

/** The address that esbuild prints once it listens. */
async function listening(child: ChildProcess): Promise<string> {
  let said = '';
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`esbuild did not start to listen: ${said}`)), START_LIMIT_MS);
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`esbuild ended with ${code ?? 'a signal'}: ${said}`)));
      child.stderr?.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString('utf8')).slice(-10_000);
        const url = /http:\/\/127\.0\.0\.1:\d+\//.exec(said)?.[0];
        if (url !== undefined) resolve(url);
      });
    });
  } finally {
    clearTimeout(timer);
  }
}

/** The page; null where none comes. `agent` keeps the connection open, `false` does not. */
function fetchText(url: string, agent: Agent | false): Promise<string | null> {
  return new Promise((resolve) => {
    const request = get(url, { agent, timeout: REQUEST_LIMIT_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve(response.statusCode === 200 ? body : null));
      response.on('error', () => resolve(null));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}

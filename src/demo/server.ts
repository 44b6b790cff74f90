import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unsupported } from '../../snapshots/errors.js';

/** How long the server may take to start. */
const START_LIMIT_MS = 20_000;
const REQUEST_LIMIT_MS = 5_000;
/** Connections that stay open, so that goroutines of the server wait for them. */
const CONNECTIONS = 3;

/** A Go program at work: esbuild, serving a folder on loopback. */
export interface DemoServer {
  readonly pid: number;
  readonly url: string;
  /** Requests the page; true if the server answers with it. */
  answers(): Promise<boolean>;
  /** Ends the process and removes its folder at once; may be called twice. */
  stop(): void;
}

/** Returns the path of esbuild's executable for this machine. Throws `unsupported` if npm did not install it. */
export function esbuildPath(): string {
  const name = `@esbuild/${process.platform}-${process.arch}`;
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/esbuild`);
  } catch (cause) {
    throw unsupported(`the demo program is not installed: npm left out the optional package ${name}`, { cause });
  }
}

/** Starts `executable` as a server and waits until it listens. Calls `onStart` with a function that ends it before it waits. */
export async function startServer(executable: string, onStart: (stop: () => void) => void): Promise<DemoServer> {
  const folder = mkdtempSync(join(tmpdir(), 'gospy-demo-'));
  const page = `<p>served by esbuild, watched by gospy</p>\n`;
  writeFileSync(join(folder, 'index.html'), page);
  // esbuild ends when its standard input closes, which also happens when gospy is killed.
  const child = spawn(executable, [`--servedir=${folder}`, '--serve=127.0.0.1:0'], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  const connections = new Agent({ keepAlive: true });
  const stop = (): void => {
    connections.destroy();
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  onStart(stop);
  const url = await waitForUrl(child);
  if (child.pid === undefined) throw new Error('esbuild listens, but has no process id');
  await Promise.all(Array.from({ length: CONNECTIONS }, () => fetchText(url, connections)));
  return { pid: child.pid, url, answers: async () => (await fetchText(url, false)) === page, stop };
}

/** Waits for the address that esbuild prints once it listens. */
async function waitForUrl(child: ChildProcess): Promise<string> {
  let output = '';
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`esbuild did not start to listen: ${output}`)), START_LIMIT_MS);
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`esbuild ended with ${code ?? 'a signal'}: ${output}`)));
      child.stderr?.on('data', (chunk: Buffer) => {
        output = (output + chunk.toString('utf8')).slice(-10_000);
        const url = /http:\/\/127\.0\.0\.1:\d+\//.exec(output)?.[0];
        if (url !== undefined) resolve(url);
      });
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Returns the page, or null if none comes. An `agent` keeps the connection open. */
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

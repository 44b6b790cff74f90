import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './go-build.js';
import { withLock } from './lock.js';

const run = promisify(execFile);

/** The release of Delve that tests and benchmarks compare with. */
const DELVE = 'github.com/go-delve/delve/cmd/dlv@v1.27.2';

/** Builds Delve into the cache of the tests, unless it is there. Returns its path. */
export async function buildDelve(): Promise<string> {
  const folder = join(cacheFolder(), 'bin');
  const path = join(folder, 'dlv');
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  await withLock(join(folder, 'dlv.lock'), async () => {
    if (existsSync(path)) return;
    await run('go', ['install', DELVE], { env: { ...process.env, GOBIN: folder, GOFLAGS: '', GOENV: 'off' } });
  });
  return path;
}

/** api.Location of Delve. */
export interface DelveLocation {
  readonly pc: number;
  readonly file: string;
  readonly line: number;
  readonly function?: { readonly name: string };
}

/** The fields of Delve's api.Goroutine that are compared. */
export interface DelveGoroutine {
  readonly id: number;
  readonly currentLoc: DelveLocation;
  readonly userCurrentLoc: DelveLocation;
  readonly goStatementLoc: DelveLocation;
  readonly startLoc: DelveLocation;
  /** 0 if no thread runs it. */
  readonly threadID: number;
  /** A number of those that start with _Gidle in runtime2.go. */
  readonly status: number;
  readonly waitReason: number;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A Delve that has opened a core, reached by JSON-RPC over loopback. */
export class Delve {
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 1;
  #received = '';

  private constructor(child: ChildProcess, socket: Socket) {
    this.#child = child;
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => this.#receive(text));
    socket.on('close', () => this.#fail('the connection was closed'));
    socket.on('error', (error) => this.#fail(error.message));
  }

  /** Opens a core with its executable. Delve ends with the test. */
  static async open(t: { teardown(end: () => void): void }, executable: string, core: string): Promise<Delve> {
    const child = spawn(
      await buildDelve(),
      [
        ...['core', executable, core, '--headless', '--api-version=2', '--listen=127.0.0.1:0'],
        '--check-go-version=false',
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    t.teardown(() => child.kill('SIGKILL'));
    const port = await listening(child);
    const socket = createConnection(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    t.teardown(() => socket.destroy());
    return new Delve(child, socket);
  }

  async goroutines(): Promise<DelveGoroutine[]> {
    const { Goroutines } = (await this.#call('ListGoroutines', { Start: 0, Count: 0 })) as {
      Goroutines: DelveGoroutine[];
    };
    return Goroutines;
  }

  /** Up to `depth` frames, innermost first, with those of inlined calls. */
  async stack(goid: number, depth = 10_000): Promise<DelveLocation[]> {
    const { Locations } = (await this.#call('Stacktrace', { Id: goid, Depth: depth })) as {
      Locations: DelveLocation[];
    };
    return Locations;
  }

  close(): void {
    this.#socket.destroy();
    this.#child.kill('SIGKILL');
  }

  #call(method: string, params: object): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ method: `RPCServer.${method}`, params: [params], id })}\n`);
    });
  }

  #receive(text: string): void {
    this.#received += text;
    for (let end = this.#received.indexOf('\n'); end >= 0; end = this.#received.indexOf('\n')) {
      const line = this.#received.slice(0, end);
      this.#received = this.#received.slice(end + 1);
      const { id, result, error } = JSON.parse(line) as { id: number; result: unknown; error: unknown };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === null || error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(`Delve: ${JSON.stringify(error)}`));
    }
  }

  #fail(why: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(`Delve: ${why}`));
    this.#waiting.clear();
  }
}

/** Resolves with the port that Delve prints. */
export function listening(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let said = '';
    const look = (chunk: Buffer): void => {
      said += chunk.toString('utf8');
      const port = /listening at: 127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (port !== undefined) resolve(Number(port));
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('close', () => reject(new Error(`Delve ended: ${said}`)));
  });
}

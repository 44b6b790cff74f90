import { spawn, type ChildProcess } from 'node:child_process';
import { createConnection, type Socket } from 'node:net';
import { once } from 'node:events';
import { buildDelve, listening } from './delve.js';

/** A frame of the Debug Adapter Protocol. */
interface DapFrame {
  readonly name: string;
  readonly line: number;
  readonly source?: { readonly path: string };
}

interface Answer {
  readonly type: string;
  readonly request_seq: number;
  readonly success: boolean;
  readonly message?: string;
  readonly body: unknown;
}

/** Delve as an editor has it: a server of the Debug Adapter Protocol, reached over loopback. */
export class DelveDap {
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #received = Buffer.alloc(0);
  #seq = 0;

  private constructor(child: ChildProcess, socket: Socket) {
    this.#child = child;
    this.#socket = socket;
    socket.on('data', (chunk) => this.#receive(chunk));
  }

  /** Opens a core with its executable, as an editor's launch configuration does. Delve ends with the test. */
  static async open(t: { teardown(end: () => void): void }, program: string, core: string): Promise<DelveDap> {
    const args = ['dap', '--listen=127.0.0.1:0', '--check-go-version=false'];
    const child = spawn(await buildDelve(), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => child.kill('SIGKILL'));
    const socket = createConnection(await listening(child), '127.0.0.1');
    await once(socket, 'connect');
    t.teardown(() => socket.destroy());
    const dap = new DelveDap(child, socket);
    await dap.#ask('initialize', { adapterID: 'go', pathFormat: 'path', linesStartAt1: true, columnsStartAt1: true });
    await dap.#ask('launch', { request: 'launch', mode: 'core', program, coreFilePath: core });
    await dap.#ask('configurationDone', {});
    return dap;
  }

  /** The goroutines, which are threads to an editor: at most 1024. */
  async goids(): Promise<number[]> {
    const { threads } = (await this.#ask('threads', {})) as { threads: { id: number }[] };
    return threads.map(({ id }) => id);
  }

  /** The frames of a goroutine, innermost first. */
  async stack(goid: number): Promise<readonly DapFrame[]> {
    const arguments_ = { threadId: goid, startFrame: 0, levels: 1000 };
    return ((await this.#ask('stackTrace', arguments_)) as { stackFrames: DapFrame[] }).stackFrames;
  }

  close(): void {
    this.#socket.destroy();
    this.#child.kill('SIGKILL');
  }

  async #ask(command: string, args: object): Promise<unknown> {
    const seq = ++this.#seq;
    const text = JSON.stringify({ seq, type: 'request', command, arguments: args });
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(seq, resolve));
    this.#socket.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    const { success, message, body } = await answered;
    if (!success) throw new Error(`Delve refuses ${command}: ${message ?? ''} ${JSON.stringify(body)}`);
    return body;
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      const head = this.#received.indexOf('\r\n\r\n');
      const length = Number(
        /Content-Length: (\d+)/i.exec(this.#received.toString('latin1', 0, Math.max(0, head)))?.[1],
      );
      const [from, to] = [head + 4, head + 4 + length];
      if (head < 0 || this.#received.length < to) return;
      const answer = JSON.parse(this.#received.toString('utf8', from, to)) as Answer;
      this.#received = this.#received.subarray(to);
      if (answer.type !== 'response') continue;
      this.#waiting.get(answer.request_seq)?.(answer);
      this.#waiting.delete(answer.request_seq);
    }
  }
}

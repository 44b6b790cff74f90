import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToFile } from '../../capture/capture.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { esbuildPath } from '../../src/demo/server.js';
import { compareWithTraceback } from '../support/compare.js';
import { requireDebian } from '../support/debian.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { parseTraceback } from '../support/traceback.js';

/** Programs as people run them: none of them was built for this test, none has a symbol table. */
interface Shipped {
  readonly command: string;
  readonly args: readonly string[];
  readonly path?: string;
  /** What it is told at its start. */
  readonly input?: string;
  /** What it writes once it is up. */
  readonly ready: RegExp;
  /** The signal at which it prints its goroutines; some handle SIGQUIT in ways of their own. */
  readonly signal: 'SIGQUIT' | 'SIGABRT';
  /** True where `command` starts the program as its only child. */
  readonly nested?: boolean;
  /** True where it comes to rest after its start. */
  readonly rests?: boolean;
  readonly goroutines: number;
}

const START_MS = 60_000;
/** A program goes on between the capture and the signal: a goroutine may start or end. It does not each time. */
const ATTEMPTS = 5;
const CAME_OR_WENT = / but (not listed|the program did not print it)$/;
/** For how long it is left alone after its start, and at each further attempt for twice as long. */
const SETTLE_MS = 200;

async function isExact(t: Test, start: () => Shipped): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const shipped = start();
    const settled = SETTLE_MS * 2 ** (attempt - 1);
    const { differences, warnings, compared, goVersion } = await heldAgainstItself(t, shipped, settled);
    if (attempt < ATTEMPTS && differences.length > 0 && differences.every((line) => CAME_OR_WENT.test(line))) {
      t.comment(differences.join('; '));
      continue;
    }
    t.same(differences, []);
    t.same(warnings, []);
    t.ok(compared >= shipped.goroutines, `Go ${goVersion}: ${compared} goroutines compared`);
    return;
  }
}

interface Compared {
  readonly differences: readonly string[];
  readonly warnings: readonly unknown[];
  readonly compared: number;
  readonly goVersion: string;
}

async function heldAgainstItself(t: Test, shipped: Shipped, settleMs: number): Promise<Compared> {
  const { command, args, path, input = '', signal, nested = false } = shipped;
  const env = { ...process.env, GOTRACEBACK: 'system', ...(path === undefined ? {} : { PATH: path }) };
  const child = spawn(command, args, { env });
  const closed = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  child.stdin.write(input);
  const written = await untilReady(child, shipped.ready);
  const pid = nested ? await onlyChild(child.pid ?? 0) : (child.pid ?? 0);
  await setTimeout(settleMs);
  if (shipped.rests === true) await untilQuiet(pid);
  const file = join(temporaryFolder(t), 'shipped.gsp');
  const from = written().length;
  const report = await captureToFile(pid, file, { mode: 'stop', writer: '0.0.0' });
  process.kill(pid, signal);
  await closed;
  const image = openSnapshot(file);
  t.teardown(() => image.close());
  const program = openProgram(image);
  const goroutines = [...listGoroutines(program, 'stack')];
  const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(written().slice(from)));
  const warnings = [...report.warnings, ...program.warnings];
  return { differences, warnings, compared: compared.goroutines, goVersion: report.goVersion };
}

/** Resolves when it is up, with what tells all that it has written by then and later. */
async function untilReady(child: ChildProcessWithoutNullStreams, ready: RegExp): Promise<() => string> {
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  for (let waited = 0; !ready.test(said); waited += 20) {
    if (child.exitCode !== null || waited > START_MS)
      throw new Error(`the program did not start: ${said.slice(-2000)}`);
    await setTimeout(20);
  }
  return () => said;
}

async function onlyChild(pid: number): Promise<number> {
  for (;;) {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    if (child !== undefined && child > 0) return child;
    await setTimeout(20);
  }
}

t.setTimeout(300_000);

t.test('shipped: esbuild, a compiler in an npm package', async (t) => {
  await isExact(t, () => ({
    command: esbuildPath(),
    args: [`--servedir=${temporaryFolder(t)}`, '--serve=127.0.0.1:0'],
    ready: /Local:/,
    rests: true,
    signal: 'SIGQUIT',
    goroutines: 5,
  }));
});

t.test("shipped: TypeScript's native compiler as a language server, in an npm package", async (t) => {
  const wrapper = createRequire(import.meta.url).resolve('@typescript/native-preview/package.json');
  const name = `@typescript/native-preview-${process.platform}-${process.arch}/package.json`;
  const request = JSON.stringify({
    ...{ jsonrpc: '2.0', id: 1, method: 'initialize' },
    params: { processId: null, rootUri: null, capabilities: {} },
  });
  await isExact(t, () => ({
    command: join(dirname(createRequire(wrapper).resolve(name)), 'lib', 'tsgo'),
    args: ['--lsp', '--stdio'],
    input: `Content-Length: ${request.length}\r\n\r\n${request}`,
    ready: /"capabilities"/,
    rests: true,
    signal: 'SIGQUIT',
    goroutines: 8,
  }));
});

t.test("shipped: Debian's Prometheus, stripped, with cgo", async (t) => {
  const root = await requireDebian(t);
  if (root === null) return;
  const folder = temporaryFolder(t);
  const config = join(folder, 'prometheus.yml');
  writeFileSync(config, '');
  await isExact(t, () => ({
    command: join(root, 'usr/bin/prometheus'),
    args: [
      `--config.file=${config}`,
      '--web.listen-address=127.0.0.1:0',
      `--storage.tsdb.path=${join(folder, 'data')}`,
    ],
    ready: /Server is ready to receive web requests/,
    signal: 'SIGQUIT',
    goroutines: 20,
  }));
});

t.test("shipped: Debian's dockerd, a stripped PIE linked externally, in namespaces of its own", async (t) => {
  const root = await requireDebian(t);
  if (root === null) return;
  const command = join(root, 'usr/sbin/dockerd');
  await isExact(t, () => {
    const folder = temporaryFolder(t);
    const inside = (name: string): string => join(folder, name);
    mkdirSync(inside('data'));
    return {
      command: 'unshare',
      args: [
        ...['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', command, '--storage-driver', 'vfs'],
        ...['--data-root', inside('data'), '--exec-root', inside('exec'), '--pidfile', inside('pid')],
        ...['--host', `unix://${inside('socket')}`, '--bridge=none', '--iptables=false', '--ip6tables=false'],
      ],
      path: [join(root, 'usr/bin'), join(root, 'usr/sbin'), process.env['PATH'] ?? ''].join(delimiter),
      ready: /API listen on/,
      signal: 'SIGABRT',
      nested: true,
      goroutines: 30,
    };
  });
});

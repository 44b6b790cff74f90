import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { openLive } from '../../capture/copy/look-again.js';
import { memoryNeeded } from '../../capture/memory-estimate.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import { esbuildPath } from '../../src/demo/server.js';
import { gospy } from '../src/gospy-process.js';
import { compareWithTraceback } from '../support/compare.js';
import { requireDebian } from '../support/debian.js';
import { eventually } from '../support/eventually.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { parseTraceback } from '../support/traceback.js';
import { captureInStop } from './capture-in-stop.js';

/** A program as people run it: it was not built for this test and has no symbol table. */
interface Shipped {
  readonly command: string;
  readonly args: readonly string[];
  readonly path?: string;
  /** Written to its standard input at its start. */
  readonly input?: string;
  /** What it writes once it is up. */
  readonly ready: RegExp;
  /** The signal at which it prints its goroutines: some handle SIGQUIT themselves. */
  readonly signal: 'SIGQUIT' | 'SIGABRT';
  /** True if `command` starts the program as its only child. */
  readonly nested?: boolean;
  /** True if it comes to rest after its start. */
  readonly rests?: boolean;
  /** At least so many must be compared. */
  readonly goroutines: number;
}

/** Has Node write at its end how much memory it had resident at most. What getrusage says has the fork in it. */
const WRITE_PEAK = `
  const { readFileSync, writeFileSync } = require('node:fs');
  process.on('exit', () => writeFileSync(process.env.PEAK, readFileSync('/proc/self/status')));`;

/** For how long a program that never rests is left alone after its start. */
const SETTLE_MS = 200;

/** Holds a capture against the goroutines that the program itself prints, at a signal that is sent in the stop. */
async function isExact(t: Test, shipped: Shipped): Promise<void> {
  const { program: child, written, pid } = await start(t, shipped);
  const file = join(temporaryFolder(t), 'shipped.gsp');
  await takesWhatIsStated(t, pid);
  const from = written().length;
  const { image, groups } = captureInStop(pid, () => process.kill(pid, shipped.signal));
  await child.closed;
  await writeSnapshot(file, { image, memory: groups });

  const snapshot = openSnapshot(file);
  t.teardown(() => snapshot.close());
  const program = openProgram(snapshot);
  const goroutines = [...listGoroutines(program, 'stack')];
  const isUnused = unusedIds(program);
  const traceback = parseTraceback(written().slice(from));
  const { differences, compared } = compareWithTraceback(goroutines, traceback, { mayBeNew: isUnused });
  t.same(differences, []);
  t.same([...image.capture.warnings, ...program.warnings], []);
  const version = program.version.text;
  t.ok(compared.goroutines >= shipped.goroutines, `Go ${version}: ${compared.goroutines} goroutines compared`);
}

/** In a container with a memory limit, a capture that needs more than that could be the end of the program. */
async function takesWhatIsStated(t: Test, pid: number): Promise<void> {
  const target = new LiveProcess(pid, 'read');
  t.teardown(() => target.close());
  const stated = memoryNeeded(openLive(target));
  const folder = temporaryFolder(t);
  const [hook, peakFile] = [join(folder, 'write-peak.cjs'), join(folder, 'peak')];
  writeFileSync(hook, WRITE_PEAK);
  // In place of what runs tests, which has Node load more than users do.
  const env = { NODE_OPTIONS: `--require ${hook}`, PEAK: peakFile };
  for (const mode of ['stop', 'clone', 'live']) {
    const to = join(folder, 'memory.gsp');
    const { code } = await gospy(['capture', '--pid', String(pid), '-o', to, '--mode', mode], { env });
    t.equal(code, 0);
    const peak = 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(peakFile, 'utf8'))?.[1]);
    t.ok(peak <= stated, `mode ${mode}: ${(peak / 1e6).toFixed(0)} MB of ${(stated / 1e6).toFixed(0)}`);
  }
}

/**
 * Returns whether a goroutine id had not been used when the program was captured: newproc1 (proc.go, 1.12 to 1.27) takes
 * the next of the ids that its P holds, of which a P takes 16 at a time from sched.goidgen.
 */
function unusedIds({ memory, layouts, globals, processors }: GoProgram): (goid: number) => boolean {
  const p = layouts.of('p');
  const taken = memory.word(globals.sched, layouts.of('schedt').offset('goidgen'));
  const held = processors.map(({ addr }) => ({
    next: memory.word(addr, p.offset('goidcache')),
    end: memory.word(addr, p.offset('goidcacheend')),
  }));
  return (goid) => goid > taken || held.some(({ next, end }) => goid >= next && goid < end);
}

interface Started {
  readonly program: { readonly closed: Promise<unknown> };
  /** Returns all that it has written. */
  readonly written: () => string;
  readonly pid: number;
}

/** Starts a program and waits until it is up. */
async function start(t: Test, shipped: Shipped): Promise<Started> {
  const { command, args, path, input = '', nested = false, ready } = shipped;
  const env = { ...process.env, GOTRACEBACK: 'system', ...(path === undefined ? {} : { PATH: path }) };
  const child = spawn(command, args, { env });
  const closed = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const written = (): string => output;
  child.stdin.write(input);
  const isUp = (): true | null => {
    if (child.exitCode !== null) throw new Error(`the program has ended: ${output.slice(-2000)}`);
    return ready.test(output) ? true : null;
  };
  await eventually(isUp, `${String(ready)} from ${command}`, written);
  const pid = nested ? await eventually(() => onlyChild(child.pid ?? 0), `a child of ${command}`) : (child.pid ?? 0);
  if (shipped.rests === true) await untilQuiet(pid);
  else await setTimeout(SETTLE_MS);
  return { program: { closed }, written, pid };
}

function onlyChild(pid: number): number | null {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  return child !== undefined && child > 0 ? child : null;
}

t.test('shipped: esbuild, a compiler in an npm package', async (t) => {
  await isExact(t, {
    command: esbuildPath(),
    args: [`--servedir=${temporaryFolder(t)}`, '--serve=127.0.0.1:0'],
    ready: /Local:/,
    rests: true,
    signal: 'SIGQUIT',
    goroutines: 5,
  });
});

t.test("shipped: TypeScript's native compiler as a language server, in an npm package", async (t) => {
  const wrapper = createRequire(import.meta.url).resolve('@typescript/native-preview/package.json');
  const name = `@typescript/native-preview-${process.platform}-${process.arch}/package.json`;
  const request = JSON.stringify({
    ...{ jsonrpc: '2.0', id: 1, method: 'initialize' },
    params: { processId: null, rootUri: null, capabilities: {} },
  });
  await isExact(t, {
    command: join(dirname(createRequire(wrapper).resolve(name)), 'lib', 'tsgo'),
    args: ['--lsp', '--stdio'],
    input: `Content-Length: ${request.length}\r\n\r\n${request}`,
    ready: /"capabilities"/,
    rests: true,
    signal: 'SIGQUIT',
    goroutines: 8,
  });
});

t.test("shipped: Debian's Prometheus, stripped, with cgo", async (t) => {
  const root = await requireDebian(t);
  if (root === null) return;
  const folder = temporaryFolder(t);
  const config = join(folder, 'prometheus.yml');
  writeFileSync(config, '');
  await isExact(t, {
    command: join(root, 'usr/bin/prometheus'),
    args: [
      `--config.file=${config}`,
      '--web.listen-address=127.0.0.1:0',
      `--storage.tsdb.path=${join(folder, 'data')}`,
    ],
    ready: /Server is ready to receive web requests/,
    signal: 'SIGQUIT',
    goroutines: 20,
  });
});

t.test("shipped: Debian's dockerd, a stripped PIE linked externally, in namespaces of its own", async (t) => {
  const root = await requireDebian(t);
  if (root === null) return;
  const command = join(root, 'usr/sbin/dockerd');
  const folder = temporaryFolder(t);
  const inside = (name: string): string => join(folder, name);
  mkdirSync(inside('data'));
  await isExact(t, {
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
  });
});

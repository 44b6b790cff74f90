import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import tap, { test, type Test } from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { GOSPY, gospy } from '../src/gospy-process.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { startLoad } from '../support/load.js';
import { buildC, isFree, sleep, soon, threadStates, tracers, until } from './targets.js';

/** All in `npm run test:survival`; some in every run. */
const KILLS = FULL_SIZE ? 200 : 10;
/** Processes that use their CPU and nothing else, beside it. */
const LOADS = FULL_SIZE ? [0, 10] : [0];
/** On a quiet machine, a capture of the program ends within this time after its start. */
const KILL_WITHIN_MS = 900;
const MODES = ['stop', 'clone', 'live'] as const;
type Mode = (typeof MODES)[number];
const MANY = { fixture: 'many', release: '1.26', link: 'stripped' } as const;
const PARKED = 1000;

const programs = buildC();
tap.teardown(() => programs.remove());
tap.setTimeout(3_600_000);

function start(t: Test, ...args: string[]): Promise<GoProcess> {
  return buildGo(MANY).then((path) => startGo(t, path, { args: ['-n', String(PARKED), ...args] }));
}

/** The kernel's letters for the states of the program's children. */
function children(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((tid) => {
    const pids = readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8').trim().split(' ').filter(Boolean);
    return pids.map((child) => /^State:\s*(\S)/m.exec(readFileSync(`/proc/${child}/status`, 'utf8'))?.[1] ?? '?');
  });
}

/**
 * Waits until the program runs, nobody traces it, and it has no living child. A clone whose gospy was killed may be left as
 * one zombie, which the next clone collects.
 */
async function isUnharmed(t: Test, program: GoProcess): Promise<void> {
  await until(() => isFree(program.pid));
  const before = Number(await program.ask('count'));
  await until(async () => Number(await program.ask('count')) > before);
  await until(() => children(program.pid).every((state) => state === 'Z'));
  t.ok(children(program.pid).length <= 1, 'one zombie at most');
}

/** Captures into `path`, and returns the goroutines with whole stacks. */
async function wholeStacks(t: Test, pid: number, mode: Mode, path: string): Promise<GoroutineWithStack[]> {
  const { code, stderr } = await gospy(['capture', '--pid', String(pid), '-o', path, '--mode', mode, '--strict']);
  t.equal(code, 0, stderr);
  const { stdout } = await gospy(['goroutines', path, '--json']);
  const { goroutines } = JSON.parse(stdout) as { goroutines: GoroutineWithStack[] };
  return goroutines.filter(({ frames }) => frames.at(-1)?.func === 'runtime.goexit');
}

function killAtAnyInstant(mode: Mode, load: number): void {
  test(`survival: ${KILLS} times killed at any instant, gospy harms nobody (mode ${mode}, load ${load})`, async (t) => {
    if (!requireGo(t)) return;
    startLoad(t, load);
    const program = await start(t);
    const killWithinMs = KILL_WITHIN_MS * Math.max(1, load / availableParallelism());
    const folder = temporaryFolder(t);
    const path = join(folder, 'many.gsp');
    for (let i = 0; i < KILLS; i++) {
      const args = [GOSPY, 'capture', '--pid', String(program.pid), '-o', path, '--mode', mode];
      const child = spawn(process.execPath, args, { stdio: 'ignore' });
      const ended = new Promise((done) => child.once('close', done));
      await sleep(Math.random() * killWithinMs);
      child.kill('SIGKILL');
      await soon(ended, 'the end of gospy');
      await isUnharmed(t, program);
      if (existsSync(path)) t.equal((await gospy(['info', path])).code, 0, 'what has its name is whole');
      for (const name of readdirSync(folder)) rmSync(join(folder, name));
    }
    t.ok((await wholeStacks(t, program.pid, mode, path)).length >= PARKED);
    t.same(children(program.pid), [], 'no child is left');
  });
}

for (const mode of MODES) {
  for (const load of LOADS) killAtAnyInstant(mode, load);

  test(`survival: a program stopped by SIGSTOP stays so (mode ${mode})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await start(t);
    program.signal('SIGSTOP');
    await until(() => threadStates(program.pid).every((state) => state === 'T'));
    const whole = await wholeStacks(t, program.pid, mode, join(temporaryFolder(t), 'stopped.gsp'));
    t.ok(whole.length >= PARKED, `${whole.length} whole stacks`);
    t.ok(threadStates(program.pid).every((state) => state === 'T') && tracers(program.pid).every((id) => id === 0));
    program.signal('SIGCONT');
    await isUnharmed(t, program);
  });

  test(`survival: a program with 1,000 threads (mode ${mode})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await start(t, '-threads', '1000');
    t.ok(threadStates(program.pid).length > 1000);
    const whole = await wholeStacks(t, program.pid, mode, join(temporaryFolder(t), 'threads.gsp'));
    t.ok(whole.length >= PARKED + 1000, `${whole.length} whole stacks`);
    await isUnharmed(t, program);
  });

  test(`survival: a program whose own system calls a seccomp filter refuses (mode ${mode})`, async (t) => {
    if (!requireGo(t)) return;
    const args = ['deny', 'ptrace', '1', await buildGo(MANY), '-n', String(PARKED)];
    const program = await startGo(t, programs.c, { args });
    t.match(readFileSync(`/proc/${program.pid}/status`, 'utf8'), /^Seccomp:\s*2$/m);
    const whole = await wholeStacks(t, program.pid, mode, join(temporaryFolder(t), 'filtered.gsp'));
    t.ok(whole.length >= PARKED, `${whole.length} whole stacks`);
    await isUnharmed(t, program);
  });

  test(`survival: a program in other pid, mount and user namespaces, out of reach by its path (mode ${mode})`, async (t) => {
    if (!requireGo(t)) return;
    const hidden = mkdtempSync('/tmp/gospy-hidden-');
    t.teardown(() => rmSync(hidden, { recursive: true, force: true }));
    // What is mounted there is seen in that mount namespace alone, and ends with it.
    const script = `mount -t tmpfs none ${hidden} && cp "$1" ${hidden}/many && exec ${hidden}/many -n ${PARKED}`;
    const namespaces = ['--user', '--map-root-user', '--pid', '--fork', '--mount-proc', '--kill-child'];
    const args = [...namespaces, 'sh', '-c', script, 'sh', await buildGo(MANY)];
    const outer = await startGo(t, 'unshare', { args });
    const pid = Number(readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8').trim());
    t.notOk(existsSync(join(hidden, 'many')), 'its path leads nowhere here');
    t.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^NSpid:\t\d+\t1$/m);
    const path = join(temporaryFolder(t), 'contained.gsp');
    const whole = await wholeStacks(t, pid, mode, path);
    t.ok(whole.length >= PARKED, `${whole.length} whole stacks`);
    if (mode !== 'live') {
      const { stdout } = await gospy(['threads', path, '--json']);
      const { threads } = JSON.parse(stdout) as { threads: { tid: number; frames: unknown[] }[] };
      t.ok(threads.length > 2 && threads.every(({ frames }) => frames.length > 0), 'every thread is found');
    }
    await until(() => isFree(pid));
    const before = Number(await outer.ask('count'));
    await until(async () => Number(await outer.ask('count')) > before);
  });
}

test('survival: a traced program is not touched, the tracer is named, and mode live works', async (t) => {
  if (!requireGo(t)) return;
  const program = await start(t);
  const tracer = spawn(programs.c, ['trace', String(program.pid)], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => tracer.kill('SIGKILL'));
  await soon(new Promise((done) => tracer.stdout.once('data', done)), 'the tracer');
  const path = join(temporaryFolder(t), 'traced.gsp');
  const { code, stderr } = await gospy(['capture', '--pid', String(program.pid), '-o', path]);
  t.equal(code, 4);
  t.match(stderr, `target (pid ${tracer.pid ?? 0}) traces it already`);
  t.notOk(existsSync(path));
  const whole = await wholeStacks(t, program.pid, 'live', path);
  t.ok(whole.length >= PARKED, `${whole.length} whole stacks`);
  t.equal(tracers(program.pid)[0], tracer.pid, 'the tracer has it still');
});

test('survival: a full disk leaves nothing behind', async (t) => {
  if (!requireGo(t)) return;
  const program = await start(t);
  const small = mkdtempSync('/tmp/gospy-small-');
  t.teardown(() => rmSync(small, { recursive: true, force: true }));
  const capture = `"${process.execPath}" "${GOSPY}" capture --pid ${program.pid} -o ${small}/full.gsp`;
  const script = `mount -t tmpfs -o size=64k none ${small} && { ${capture}; echo code $?; ls -A ${small}; }`;
  const out = execFileSync('unshare', ['--mount', 'sh', '-c', `${script} 2>&1`], { encoding: 'utf8' });
  t.match(out, /code 5\n$/, 'exit code 5, and an empty folder');
  t.match(out, /space/);
  await isUnharmed(t, program);
});

test('survival: the program of another user: exit code 4, which check failed, and what to type', async (t) => {
  if (!requireGo(t)) return;
  const program = await start(t);
  const folder = temporaryFolder(t);
  chmodSync(folder, 0o777);
  const node = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, GOSPY];
  const child = spawn('setpriv', [...node, 'capture', '--pid', String(program.pid), '-o', join(folder, 'a.gsp')]);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await soon(new Promise((done) => child.once('close', done)), 'the end of gospy');
  t.equal(code, 4, stderr);
  t.match(stderr, /uid 0 and gospy runs as uid 65534/);
  t.match(stderr, /sudo gospy/);
  t.same(readdirSync(folder), []);
  await isUnharmed(t, program);
});

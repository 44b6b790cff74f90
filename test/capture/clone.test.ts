import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openProgram } from '../../analyze/program.js';
import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { injectionSites, systemStacks } from '../../analyze/runtime/injection-site.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToFile, type CaptureReport } from '../../capture/capture.js';
import { copyClone } from '../../capture/clone/clone-capture.js';
import { Cloner } from '../../capture/clone/clone.js';
import { surveyLive } from '../../capture/copy/look-again.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import type { Addr } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { gospy } from '../src/gospy-process.js';
import { inCgroup, newTaskLimit } from '../support/cgroup.js';
import { compareWithTraceback } from '../support/compare.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { LEAKS_NAMED_CELL, cellName, type Cell } from '../support/releases.js';
import { skip } from '../support/skip.js';
import { parseTraceback } from '../support/traceback.js';
import { buildC, isFree, soon, until } from './targets.js';

const CLONER = fileURLToPath(new URL('./cloner-process.js', import.meta.url));
/** On a busy machine. */
const LONG = { timeout: 300_000 };
const BUSY_CAPTURES = FULL_SIZE ? 20 : 6;
const KILLS = FULL_SIZE ? 40 : 12;
/** A harmless system call. */
const SYS_GETPID = 39;
/** Bytes below SP, more than are written for a clone. */
const BELOW = 1024;
/** A cloner is killed within so many milliseconds of its first clone: it makes dozens in that time. */
const KILL_WITHIN_MS = 20;

const CELLS: readonly Cell[] = (['1.12', '1.19', '1.27'] as const).flatMap((release) =>
  (['stripped', 'stripped-pie', 'cgo'] as const).map((link): Cell => ({ fixture: 'park', release, link })),
);

function childPids(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((tid) =>
    readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
}

function scoreOf(pid: number): string {
  return readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim();
}

/** The kernel's letters for the states of the children of a process. */
function children(pid: number): string[] {
  return childPids(pid).map(
    (child) => /^State:\s*(\S)/m.exec(readFileSync(`/proc/${child}/status`, 'utf8'))?.[1] ?? '?',
  );
}

async function isExact(t: Test, pid: number, traceback: () => Promise<string>): Promise<CaptureReport> {
  const path = join(temporaryFolder(t), 'clone.gsp');
  const report = await captureToFile(pid, path, { mode: 'clone', writer: 'test' });
  t.same(children(pid), [], 'no child is left');
  t.ok(isFree(pid), 'the program is free');
  const text = await traceback();
  const image = openSnapshot(path);
  t.teardown(() => image.close());
  const goroutines = [...listGoroutines(openProgram(image), 'stack')];
  const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(text));
  t.same(differences, []);
  t.ok(compared.goroutines > 40, `${compared.goroutines} goroutines compared`);
  return report;
}

async function goesOn(program: GoProcess): Promise<boolean> {
  const first = Number(await program.ask('count'));
  await until(async () => Number(await program.ask('count')) > first, 'the program to go on');
  return isFree(program.pid);
}

if (requireGo(t)) {
  for (const cell of CELLS) {
    t.test(`clone: every parked goroutine is where the program says it is (${cellName(cell)})`, async (t) => {
      const program = await startGo(t, await buildGo(cell));
      const report = await isExact(t, program.pid, () => program.quit());
      t.match(report, { mode: 'clone', warnings: [], partial: false });
      t.ok(report.pauseNs > 0);
    });
  }

  t.test('clone: a program in a pid namespace of its own collects the clone by the id that it has there', async (t) => {
    const park = await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' });
    const child = spawn('unshare', ['--pid', '--fork', '--kill-child', park], {
      env: { ...process.env, GOTRACEBACK: 'system' },
    });
    t.teardown(() => child.kill('SIGKILL'));
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    await soon(once(child.stdout, 'data'), 'the first output of the program');
    const pid = Number(readFileSync(`/proc/${child.pid ?? 0}/task/${child.pid ?? 0}/children`, 'utf8'));
    const report = await isExact(t, pid, async () => {
      process.kill(pid, 'SIGQUIT');
      await soon(once(child, 'close'), 'the end of the program');
      return stderr;
    });
    t.match(report, { mode: 'clone', warnings: [] });
  });

  t.test('clone: a busy program is cloned again and again, and goes on', LONG, async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'busy', release: '1.26', link: 'stripped' }));
    const path = join(temporaryFolder(t), 'busy.gsp');
    let cloned = 0;
    for (let i = 0; i < BUSY_CAPTURES; i++) {
      const report = await captureToFile(program.pid, path, { mode: 'clone', writer: 'test' });
      const codes = report.warnings.map(({ code }) => code);
      // If a signal comes in between, the program is stopped instead.
      t.same(codes, report.mode === 'clone' ? [] : ['clone-refused']);
      if (report.mode === 'clone') cloned++;
      t.ok(report.goroutines > 10_000);
    }
    t.ok(cloned >= BUSY_CAPTURES / 2, `${cloned} of ${BUSY_CAPTURES} were clones`);
    t.same(children(program.pid), []);
    t.ok(await goesOn(program));
  });

  t.test('clone: a thread that waits for signals, on the stack of a goroutine, makes none', async (t) => {
    const running = await startGo(t, await buildGo(LEAKS_NAMED_CELL));
    await untilQuiet(running.pid);
    const target = new LiveProcess(running.pid, 'stop');
    t.teardown(() => target.close());
    const program = openProgram(target.image());
    const sites = injectionSites(program);
    const waiting = [...program.goroutines('stack')].find(({ status, m }) => status === 'syscall' && m !== 0);
    const tid = program.machines.find(({ addr }) => addr === waiting?.m)?.procid ?? 0;
    if (sites === null || waiting === undefined) throw new Error('no goroutine waits for signals');
    const { pid, arch } = target;
    const known = { target: { pid, arch, sites }, stacks: systemStacks(program), namespaceTid: (own: number) => own };
    const cloner = new Cloner({ ...known, liveTid: target.liveTid, call: SYS_GETPID });
    t.teardown(() => cloner.close());
    const able = [...cloner.findAble()];
    t.ok(able.length > 0);
    t.notOk(able.includes(tid), 'it is not asked to');
    const { value } = withStopped(pid, { arch }, (threads) => {
      const found = threads.find((thread) => thread.tid === tid);
      const sp = Number(found?.registers?.sp ?? 0);
      const below = (): Uint8Array => target.memory().bytes((sp - BELOW) as Addr, BELOW);
      const before = below();
      const made = cloner.clone(found === undefined ? [] : [found]);
      return {
        sp,
        made,
        before,
        after: below(),
        areAble: able.map((id) => threads.some((one) => one.tid === id && cloner.isAble(one))),
      };
    });
    t.ok(value.sp > waiting.stack.lo && value.sp < waiting.stack.hi, 'the thread is on the stack of its goroutine');
    t.type(value.made, 'string');
    t.same(value.after, value.before, 'nothing is written below its SP');
    t.notOk(value.areAble.includes(false), 'those that are asked to are able to');
    t.equal((await running.ask('grow')).trim(), 'grown', 'the program goes on');
  });

  t.test('clone: refused for a program under a seccomp filter, which is stopped instead', async (t) => {
    const programs = buildC();
    t.teardown(() => programs.remove());
    const many = await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' });
    const program = await startGo(t, programs.c, { args: ['deny', 'ptrace', '1', many, '-n', '100'] });
    const path = join(temporaryFolder(t), 'many.gsp');
    const report = await captureToFile(program.pid, path, { mode: 'clone', writer: 'test' });
    t.match(report, { mode: 'stop', warnings: [{ code: 'clone-refused', message: /seccomp/ }] });
    t.ok(await goesOn(program));
  });

  t.test(
    'clone: refused by a limit on processes that gospy cannot see, which the process feels as a stop',
    async (t) => {
      const limit = newTaskLimit(t);
      if (limit === null) {
        skip(t, 'no cgroup that limits processes can be made');
        return;
      }
      const [command, ...words] = inCgroup(limit.folder);
      const many = await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' });
      // At its limit the program must not need another thread either: with one P it does not, a while after its start.
      const program = await startGo(t, command, { args: [...words, many, '-n', '100'], env: { GOMAXPROCS: '1' } });
      await setTimeout(1000);
      limit.leave(0);
      const path = join(temporaryFolder(t), 'many.gsp');
      const under = ['unshare', '-m', 'sh', '-c', 'umount -l "$1"; shift; exec "$@"', 'sh', dirname(limit.folder)];
      const captured = ['capture', '--pid', String(program.pid), '-o', path, '--mode', 'clone', '--json'];
      const { stdout } = await gospy(captured, { under });
      limit.leave(Infinity);
      t.match(JSON.parse(stdout), { mode: 'stop', warnings: [{ code: 'clone-refused', message: /EAGAIN/ }] });
      t.ok(await goesOn(program));
    },
  );

  t.test('clone: gospy killed in the middle leaves the program as it was, and no copy of it', LONG, async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' }), {
      args: ['-n', '1000'],
    });
    let left = 0;
    for (let i = 0; i < KILLS; i++) {
      const cloner = spawn(process.execPath, [CLONER, String(program.pid)], { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = once(cloner, 'exit');
      await soon(once(cloner.stdout, 'data'), 'the first clone');
      await setTimeout(Math.random() * KILL_WITHIN_MS);
      cloner.kill('SIGKILL');
      await soon(ended, 'the end of the cloner');
      // A zombie is collected by the next cloner.
      await until(() => children(program.pid).every((state) => state === 'Z'));
      left = Math.max(left, children(program.pid).length);
      if (!(await goesOn(program))) t.fail(`the program stands still after kill ${i}`);
    }
    t.ok(left <= 1, `${left} zombies at most`);
    const path = join(temporaryFolder(t), 'many.gsp');
    await captureToFile(program.pid, path, { mode: 'clone', writer: 'test' });
    t.same(children(program.pid), [], 'the next capture collects what was left');
  });
}

/** How much of its memory a process has to itself, and how much there is besides that of files, in kB. */
function ownMemory(pid: number): { readonly own: number; readonly anonymous: number } {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kB = (field: string): number => Number(new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(rollup)?.[1]);
  return { own: kB('Private_Clean') + kB('Private_Dirty'), anonymous: kB('Anonymous') };
}

t.test('clone: it shares its memory with the program still after it was read', async (t) => {
  if (!requireGo(t)) return;
  const many = await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' });
  const { pid } = await startGo(t, many, { args: ['-n', '20000'] });
  const target = new LiveProcess(pid, 'stop');
  t.teardown(() => target.close());
  const found: ReturnType<typeof ownMemory>[] = [];
  const copied = await copyClone(target, surveyLive(target, NO_DEBUG_INFO), {
    packing: 'if many',
    mayBeLarge: true,
    inspect: ({ programs }) => {
      for (const program of programs) t.ok([...program.goroutines('stack')].length > 20_000);
      found.push(...childPids(pid).map(ownMemory));
      return Promise.resolve();
    },
  });
  t.ok('copies' in copied);
  const [{ own, anonymous } = { own: NaN, anonymous: NaN }] = found;
  t.ok(anonymous > 50_000, `${anonymous} kB of memory`);
  t.ok(own < anonymous / 20, `${own} kB of them are copies`);
});

for (const isRead of [true, false]) {
  t.test(
    `clone: given up if the kernel ends it because memory ran out, ${isRead ? 'before' : 'after'} the last read`,
    async (t) => {
      if (!requireGo(t)) return;
      const { pid } = await startGo(t, await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' }));
      const target = new LiveProcess(pid, 'stop');
      t.teardown(() => target.close());
      const before = scoreOf(pid);
      const scores: string[] = [];
      const refused = await copyClone(target, surveyLive(target, NO_DEBUG_INFO), {
        packing: 'if many',
        mayBeLarge: true,
        inspect: async ({ programs }) => {
          for (const child of childPids(pid)) {
            scores.push(scoreOf(child));
            process.kill(child, 'SIGKILL');
          }
          await until(() => children(pid).every((state) => state === 'Z'));
          for (const { memory, image } of programs) {
            for (const { start, readable } of image.mappings) if (isRead && readable) memory.bytes(start, 8);
          }
        },
      });
      t.match(refused, { reason: /memory runs out/, isLasting: true });
      t.same(scores, ['1000'], 'the kernel ends it before the program');
      t.equal(scoreOf(pid), before, 'whose own score is what it was');
      t.same(children(pid), [], 'no child is left');
      t.ok(isFree(pid), 'the program is free');
    },
  );
}

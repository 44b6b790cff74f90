import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { frozenCgroup } from '../../capture/process/frozen-cgroup.js';
import { parseSyscall } from '../../capture/process/frozen.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { gospy } from '../src/gospy-process.js';
import { compareWithTraceback } from '../support/compare.js';
import { MOUNTED_V2, fakeRoot, mountedV1 } from '../support/fake-root.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { isLeak, outcomesByEntry, printedCounts } from '../support/leak-outcomes.js';
import { untilQuiet } from '../support/quiet.js';
import { LEAKS_NAMED_CELL } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';
import { tracers, until } from './targets.js';

interface Report {
  readonly mode: string;
  readonly pauseNs: number;
  readonly partial: boolean;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
}

interface Proved {
  readonly leaks: { readonly leaked: number } | null;
}

const PID = 17;

const V1 = mountedV1('freezer');

t.test('frozen cgroup: as its hierarchy says', (t) => {
  const at = (files: Record<string, string>): string | null => frozenCgroup(PID, fakeRoot(t, files))?.path ?? null;
  const v1 = { 'proc/self/mountinfo': V1, [`proc/${PID}/cgroup`]: '9:pids:/a\n6:freezer:/docker/x\n0::/b\n' };
  const state = 'sys/fs/cgroup/freezer/docker/x/freezer.state';
  t.equal(at({ ...v1, [state]: 'FROZEN\n' }), '/docker/x');
  t.equal(at({ ...v1, [state]: 'FREEZING\n' }), null, 'some threads still run');
  t.equal(at({ ...v1, [state]: 'THAWED\n' }), null);
  t.equal(at(v1), null, 'its folder cannot be read');
  const v2 = { 'proc/self/mountinfo': V1 + MOUNTED_V2, [`proc/${PID}/cgroup`]: '6:freezer:/\n0::/app.slice\n' };
  const events = 'sys/fs/cgroup/app.slice/cgroup.events';
  t.equal(at({ ...v2, [events]: 'populated 1\nfrozen 1\n' }), '/app.slice');
  t.equal(at({ ...v2, [events]: 'populated 1\nfrozen 0\n' }), null);
  const part = { 'proc/self/mountinfo': V1.replace('/ /sys', '/docker/x /sys') };
  const inside = 'sys/fs/cgroup/freezer/sub/freezer.state';
  const below = { [`proc/${PID}/cgroup`]: '6:freezer:/docker/x/sub\n', [inside]: 'FROZEN\n' };
  t.equal(at({ ...part, ...below }), '/docker/x/sub', 'a part of the hierarchy is mounted');
  t.equal(at({ ...part, ...below, [`proc/${PID}/cgroup`]: '6:freezer:/docker/xy\n' }), null, 'and not this one');
  t.equal(at({ ...v1, [`proc/${PID}/cgroup`]: '6:freezer:/../x\n', [state]: 'FROZEN\n' }), null, 'above what is seen');
  t.equal(at({ [`proc/${PID}/cgroup`]: '6:freezer:/docker/x\n' }), null, 'nothing is mounted');
  t.equal(at({}), null);
  t.end();
});

t.test('frozen: the registers in /proc/PID/task/TID/syscall', (t) => {
  const call = parseSyscall('amd64', '202 0x61e9b8 0x80 0x1 0x2 0x3 0x4 0x7f9dcdc1bd78 0x487483');
  if (call === null || call === 'running') throw new Error('a system call was not understood');
  t.equal(call.pc, 0x487483n);
  t.equal(call.sp, 0x7f9dcdc1bd78n);
  t.same(
    ['orig_rax', 'rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'].map((name) => call.get(name)),
    [202n, 0x61e9b8n, 0x80n, 1n, 2n, 3n, 4n],
  );
  const outside = parseSyscall('amd64', '-1 0x3447f73e7c0 0x4d58d5');
  t.match(outside, { pc: 0x4d58d5n, sp: 0x3447f73e7c0n });
  t.equal(parseSyscall('amd64', 'running'), 'running');
  for (const text of ['', '0', '202 0x1 0x2 0x3', 'x 0x1 0x2', `-1 0x${'f'.repeat(17)} 0x1`, '-1 0x1']) {
    t.equal(parseSyscall('amd64', text), null, text);
  }
  t.equal(parseSyscall('arm64', '-1 0x1000 0x2000'), null, 'a stack needs the link register too');
  t.end();
});

/** Freezes a program in a new cgroup, which ends with the test; null if none can be made here. */
function freezer(t: Test, version: 1 | 2): { freeze(pid: number): Promise<void>; thaw(): void } | null {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const wanted = version === 2 ? / - cgroup2 / : / - cgroup .*\bfreezer\b/;
  const parent = mounts.find((line) => wanted.test(line))?.split(' ')[4];
  if (parent === undefined) return null;
  const folder = join(parent, `gospy-test-${process.pid}`);
  const [file, frozen, thawed] = version === 2 ? ['cgroup.freeze', '1', '0'] : ['freezer.state', 'FROZEN', 'THAWED'];
  try {
    mkdirSync(folder);
    readFileSync(join(folder, file));
  } catch {
    return null;
  }
  const processes = (): number[] =>
    readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  const events = (): string => readFileSync(join(folder, 'cgroup.events'), 'utf8');
  const tasks = (): string => readFileSync(join(folder, 'tasks'), 'utf8');
  const isFrozen = (): boolean =>
    version === 2 ? events().includes('frozen 1') : readFileSync(join(folder, file), 'utf8').trim() === frozen;
  t.teardown(async () => {
    writeFileSync(join(folder, file), thawed);
    for (const pid of processes()) process.kill(pid, 'SIGKILL');
    // A process without its main thread is not listed, but its other threads may be there still.
    await until(() => (version === 2 ? events().includes('populated 0') : tasks() === ''), 'the programs to end');
    rmdirSync(folder);
  });
  return {
    async freeze(pid) {
      writeFileSync(join(folder, 'cgroup.procs'), String(pid));
      writeFileSync(join(folder, file), frozen);
      await until(isFrozen, 'the cgroup to be frozen');
    },
    thaw: () => writeFileSync(join(folder, file), thawed),
  };
}

async function captures(t: Test, program: GoProcess, mode: string): Promise<string> {
  const path = join(temporaryFolder(t), 'frozen.gsp');
  const words = ['capture', '--pid', String(program.pid), '-o', path, '--json', '--mode', mode];
  const { code, stdout } = await gospy(words);
  t.equal(code, 0);
  const report = JSON.parse(stdout) as Report;
  t.match(report, { mode: mode === 'live' ? 'live' : 'stop', pauseNs: 0, partial: false });
  t.same(
    report.warnings.map((warning) => warning.code),
    ['process-frozen'],
    mode,
  );
  t.ok(
    tracers(program.pid).every((tracer) => tracer === 0),
    'nobody traces it',
  );
  return path;
}

function goroutinesIn(t: Test, path: string): GoroutineWithStack[] {
  const image = openSnapshot(path);
  t.teardown(() => image.close());
  return [...listGoroutines(openProgram(image), 'stack')];
}

/** How often each thread was given the CPU. */
function slices(pid: number): string {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.map((tid) => readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8')).join('');
}

if (requireGo(t)) {
  for (const version of [1, 2] as const) {
    t.test(`frozen: a program in a cgroup of version ${version} is read as it stands`, async (t) => {
      const cgroup = freezer(t, version);
      if (cgroup === null) {
        t.pass(`no cgroup of version ${version} can be frozen on this machine`);
        return;
      }
      const program = await startGo(t, await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' }));
      const { pid } = program;
      await cgroup.freeze(pid);
      const ran = slices(pid);
      const paths = [];
      for (const mode of ['stop', 'clone', 'live']) paths.push(await captures(t, program, mode));
      const doctor = await gospy(['doctor', '--pid', String(pid), '--json']);
      const { process: diagnosed } = JSON.parse(doctor.stdout) as {
        process: { checks: { name: string; finding: string }[]; modes: { works: boolean; predictedPauseNs: number }[] };
      };
      t.match(diagnosed.checks.find(({ name }) => name === 'process')?.finding, /is frozen by the cgroup \//);
      for (const mode of diagnosed.modes) t.match(mode, { works: true, predictedPauseNs: 0 });
      for (const words of [['summary'], ['top', '--once']]) {
        t.match((await gospy([...words, '--pid', String(pid)])).stderr, /process-frozen/, words.join(' '));
      }
      t.equal(slices(pid), ran, 'no thread ran all the while');
      process.kill(pid, 'SIGSTOP');
      await captures(t, program, 'stop');
      cgroup.thaw();
      process.kill(pid, 'SIGCONT');
      await until(() => slices(pid) !== ran, 'the program to go on');
      const again = join(temporaryFolder(t), 'thawed.gsp');
      const thawed = await gospy(['capture', '--pid', String(pid), '-o', again, '--json']);
      t.equal(thawed.code, 0);
      t.ok((JSON.parse(thawed.stdout) as Report).pauseNs > 0, 'thawed, it is stopped like any other');
      const traced = parseTraceback(await program.quit());
      for (const path of paths) {
        const { differences, compared } = compareWithTraceback(goroutinesIn(t, path), traced);
        t.same(differences, []);
        t.ok(compared.goroutines > 40, `${compared.goroutines} goroutines compared`);
      }
    });

    t.test(`frozen: leaks are proved as it stands (version ${version})`, async (t) => {
      const cgroup = freezer(t, version);
      if (cgroup === null) {
        t.pass(`no cgroup of version ${version} can be frozen on this machine`);
        return;
      }
      const program = await startGo(t, await buildGo(LEAKS_NAMED_CELL));
      const spinning = await startGo(t, await buildGo({ fixture: 'spin', release: '1.26', link: 'cgo' }));
      const captured = async ({ pid }: GoProcess): Promise<{ path: string; report: Report & Proved }> => {
        const path = join(temporaryFolder(t), 'frozen.gsp');
        const { stdout } = await gospy(['capture', '--pid', String(pid), '-o', path, '--leaks', '--json']);
        return { path, report: JSON.parse(stdout) as Report & Proved };
      };
      await untilQuiet(program.pid);
      await cgroup.freeze(program.pid);
      const ran = slices(program.pid);
      const { path, report } = await captured(program);
      t.match(report, { mode: 'stop', pauseNs: 0, warnings: [{ code: 'process-frozen' }] });
      t.equal(report.warnings.length, 1);
      t.equal(slices(program.pid), ran, 'no thread ran all the while');
      const image = openSnapshot(path);
      t.teardown(() => image.close());
      if (image.leaks === null || image.leaks === undefined) throw new Error('the snapshot has no proof');
      const found = outcomesByEntry(openProgram(image), image.leaks);
      for (const [name, count] of printedCounts(program.stdout)) {
        const leaked = (found.get(name) ?? []).filter(isLeak).length;
        t.ok(name.startsWith('live') ? leaked === 0 : leaked > 0, `${name}: ${leaked} of ${count}`);
      }
      await cgroup.freeze(spinning.pid);
      // Outside of a system call the kernel shows -1, and few registers.
      const tasks = `/proc/${spinning.pid}/task`;
      const isInCode = readdirSync(tasks).some((tid) =>
        readFileSync(`${tasks}/${tid}/syscall`, 'utf8').startsWith('-1 '),
      );
      const running = await captured(spinning);
      const refusal = running.report.warnings.find(({ code }) => code === 'leaks-not-proved')?.message ?? null;
      t.equal(refusal === null, running.report.leaks !== null);
      t.ok(refusal === null || isInCode, 'a proof is refused only if a thread is in the middle of code');
      if (refusal !== null) t.match(refusal, /in the middle of code/);
    });

    t.test(`frozen: goroutines that ran have their stacks (version ${version})`, async (t) => {
      const cgroup = freezer(t, version);
      if (cgroup === null) {
        t.pass(`no cgroup of version ${version} can be frozen on this machine`);
        return;
      }
      const program = await startGo(t, await buildGo({ fixture: 'spin', release: '1.26', link: 'cgo' }));
      await cgroup.freeze(program.pid);
      const running = goroutinesIn(t, await captures(t, program, 'stop')).filter(({ status }) => status === 'running');
      for (const { goid, entry, frames, truncated } of running) {
        t.equal(truncated, null, `goroutine ${goid} in ${entry?.func ?? '?'}`);
        t.match(frames.at(-1)?.func, /^runtime\.goexit|^runtime\.main/);
      }
      cgroup.thaw();
      await program.kill();
    });
  }
}

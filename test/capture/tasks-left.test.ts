import { chmodSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { tasksLeft } from '../../capture/process/tasks-left.js';
import { gospy } from '../src/gospy-process.js';
import { inCgroup, newTaskLimit } from '../support/cgroup.js';
import { MOUNTED_V2, fakeRoot, mountedV1 } from '../support/fake-root.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { skip } from '../support/skip.js';
import { isFree } from './targets.js';

const PID = 17;
const USER = 54_321;
const MANY = { fixture: 'many', release: '1.26', link: 'stripped' } as const;
const COUNT = ['-n', '100'];

t.test('tasks left: the least that any limit leaves', (t) => {
  const left = (files: Record<string, string>): number => tasksLeft(PID, fakeRoot(t, files));
  t.equal(left({}), Infinity, 'nothing can be read');
  const v2 = { 'proc/self/mountinfo': MOUNTED_V2, [`proc/${PID}/cgroup`]: '0::/pod/c\n' };
  const at = (folder: string, limit: string, used: string): Record<string, string> => ({
    [`sys/fs/cgroup/${folder}/pids.max`]: `${limit}\n`,
    [`sys/fs/cgroup/${folder}/pids.current`]: `${used}\n`,
  });
  t.equal(left({ ...v2, ...at('pod/c', 'max', '40') }), Infinity, 'no limit');
  t.equal(left({ ...v2, ...at('pod/c', '100', '40') }), 60);
  t.equal(left({ ...v2, ...at('pod/c', '100', '140') }), 0, 'never less than nothing');
  t.equal(left({ ...v2, ...at('pod/c', '100', '40'), ...at('pod', '200', '190') }), 10, 'a limit above');
  const v1 = { 'proc/self/mountinfo': mountedV1('pids'), [`proc/${PID}/cgroup`]: '4:pids:/docker/x\n0::/\n' };
  t.equal(left({ ...v1, ...at('pids/docker/x', '100', '93') }), 7, 'version 1');

  const user = (pid: number, uid: number, threads: number): Record<string, string> => ({
    [`proc/${pid}/status`]: `Name:\tx\nUid:\t${uid}\t0\t0\t0\nThreads:\t${threads}\n`,
  });
  const limits = {
    [`proc/${PID}/limits`]: 'Max cpu time  unlimited unlimited seconds\nMax processes   100  200  processes\n',
  };
  const few = { 'proc/loadavg': '0.00 0.01 0.05 1/85 4711\n' };
  const many = { 'proc/loadavg': '0.00 0.01 0.05 1/3000 4711\n' };
  const wide = { [`proc/${PID}/limits`]: 'Max processes   5000  5000  processes\n' };
  t.equal(left({ ...wide, ...few, ...user(PID, USER, 20) }), 4915, 'at least, of all tasks');
  t.equal(left({ ...limits, ...few, ...user(PID, USER, 20) }), 80, "of the user's own, though all tasks would fit too");
  const others = { ...user(18, USER, 30), ...user(19, USER + 1, 500) };
  t.equal(left({ ...limits, ...many, ...user(PID, USER, 20), ...others }), 50, "of the user's own");
  t.equal(left({ ...limits, ...many, ...user(PID, 0, 20), ...others }), Infinity, 'root has no limit');

  t.equal(left({ ...many, 'proc/sys/kernel/threads-max': '3500\n' }), 500);
  t.equal(left({ ...many, 'proc/sys/kernel/threads-max': '3500\n', 'proc/sys/kernel/pid_max': '3100\n' }), 100);
  t.end();
});

async function capturedMode(t: Test, pid: number): Promise<readonly [mode: string, warnings: readonly string[]]> {
  const path = join(temporaryFolder(t), 'tasks.gsp');
  const { code, stdout } = await gospy(['capture', '--pid', String(pid), '-o', path, '--json', '--mode', 'clone']);
  t.equal(code, 0);
  t.ok(isFree(pid), 'the program is free');
  const report = JSON.parse(stdout) as { mode: string; warnings: readonly { message: string }[] };
  return [report.mode, report.warnings.map(({ message }) => message)];
}

const REFUSED = /the limits that it runs under leave it \d+ more threads or processes/;

if (requireGo(t)) {
  t.test('tasks left: no clone is made where the program may start only a few threads', async (t) => {
    const limit = newTaskLimit(t);
    if (limit === null) {
      skip(t, 'no cgroup that limits processes can be made');
      return;
    }
    const [command, ...words] = inCgroup(limit.folder);
    const { pid } = await startGo(t, command, { args: [...words, await buildGo(MANY), ...COUNT] });
    limit.leave(200);
    t.same(await capturedMode(t, pid), ['clone', []], 'with room for more');
    limit.leave(10);
    const [mode, warnings] = await capturedMode(t, pid);
    t.equal(mode, 'stop');
    t.match(warnings.join(), REFUSED);
  });

  t.test('tasks left: nor where its user may have only a few more', async (t) => {
    if (process.getuid?.() !== 0) {
      skip(t, 'only root can start a program as another user');
      return;
    }
    const folder = temporaryFolder(t);
    const program = join(folder, 'many');
    copyFileSync(await buildGo(MANY), program);
    chmodSync(folder, 0o755);
    const user = ['setpriv', `--reuid=${USER}`, '--clear-groups', program, ...COUNT];
    const free = await startGo(t, 'prlimit', { args: ['--nproc=1000', ...user] });
    t.same(await capturedMode(t, free.pid), ['clone', []], 'with room for more');
    const limited = await startGo(t, 'prlimit', { args: ['--nproc=40', ...user] });
    const [mode, warnings] = await capturedMode(t, limited.pid);
    t.equal(mode, 'stop');
    t.match(warnings.join(), REFUSED);
  });
}

import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { CpuQuota } from '../../capture/process/cpu-quota.js';
import { gospy } from '../src/gospy-process.js';
import { inCgroup, newCpuLimit } from '../support/cgroup.js';
import { MOUNTED_V2, fakeRoot, mountedV1 } from '../support/fake-root.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';

const CHILD = fileURLToPath(new URL('./quota-process.js', import.meta.url));
const PID = 17;
const QUOTA_US = 25_000;
/** Node's start alone takes two periods or three of this. */
const CAPTURE_QUOTA_US = 50_000;
const ROUNDS = 20;

const V1 = mountedV1('cpu', 'cpu,cpuacct');

t.test('CPU limit: the tightest counts, and a process is told of if it shares it', (t) => {
  const stat = (throttled: number): string => `nr_periods 10\nnr_throttled ${throttled}\nthrottled_usec 5\n`;
  const root = fakeRoot(t, {
    'proc/self/mountinfo': MOUNTED_V2,
    'proc/self/cgroup': '0::/pod/c\n',
    [`proc/${PID}/cgroup`]: '0::/pod/d\n',
    'sys/fs/cgroup/cpu.max': 'max 100000\n',
    'sys/fs/cgroup/pod/cpu.max': '50000 100000\n',
    'sys/fs/cgroup/pod/cpu.stat': stat(3),
    'sys/fs/cgroup/pod/c/cpu.max': '20000 10000\n',
    'sys/fs/cgroup/pod/c/cpu.stat': stat(90),
  });
  const quota = CpuQuota.find(PID, root);
  t.equal(quota?.warning(), null, 'nothing was throttled');
  writeFileSync(join(root, 'sys/fs/cgroup/pod/cpu.stat'), stat(5));
  t.match(quota?.warning(), { code: 'cpu-limit', message: /0\.50 CPUs.* in 2 periods of 100 ms/ });
  writeFileSync(join(root, `proc/${PID}/cgroup`), '0::/other\n');
  const unshared = CpuQuota.find(PID, root);
  writeFileSync(join(root, 'sys/fs/cgroup/pod/cpu.stat'), stat(9));
  t.equal(unshared?.warning(), null, 'it runs elsewhere');

  const old = (limit: string): Record<string, string> => ({
    'proc/self/mountinfo': V1,
    'proc/self/cgroup': '4:cpu,cpuacct:/docker/x\n',
    'sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us': `${limit}\n`,
    'sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us': '100000\n',
  });
  t.equal(CpuQuota.find(PID, fakeRoot(t, old('-1'))), null, 'no limit in version 1');
  t.ok(CpuQuota.find(PID, fakeRoot(t, old('25000'))), 'a limit in version 1');
  t.equal(CpuQuota.find(PID, fakeRoot(t, {})), null, 'nothing can be seen');
  t.end();
});

t.test('CPU limit: nothing is waited for while there is time, nor what cannot be read', async (t) => {
  const root = fakeRoot(t, {
    'proc/self/mountinfo': MOUNTED_V2,
    'proc/self/cgroup': '0::/c\n',
    'sys/fs/cgroup/c/cpu.max': '1000000 1000000000\n',
    'sys/fs/cgroup/c/cpu.stat': 'nr_periods 7\nnr_throttled 5\n',
  });
  const quota = CpuQuota.find(PID, root);
  await quota?.awaitPeriod();
  t.pass('a period of 1000 s is not waited for');
  rmSync(join(root, 'sys/fs/cgroup/c/cpu.stat'));
  await quota?.awaitPeriod();
  t.pass('nor without its count');
});

/** How many periods a cgroup has had, and in how many of them the time was used up. */
function periods(folder: string): number[] {
  const stat = readFileSync(join(folder, 'cpu.stat'), 'utf8');
  return ['nr_periods', 'nr_throttled'].map((name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1]));
}

for (const version of [1, 2] as const) {
  t.test(`CPU limit: after the wait, a period's time is there (cgroup of version ${version})`, async (t) => {
    const folder = newCpuLimit(t, version, QUOTA_US);
    if (folder === null) {
      t.pass(`no CPU time can be limited by a cgroup of version ${version} on this machine`);
      return;
    }
    const [shell, ...words] = inCgroup(folder);
    const args = [...words, process.execPath, CHILD, folder, String(QUOTA_US), String(ROUNDS)];
    const { stdout } = await promisify(execFile)(shell, args);
    const counts = JSON.parse(stdout) as { before: number; after: number; resting: number };
    t.ok(counts.before > 0, `it was throttled ${counts.before} times before`);
    t.equal(counts.after, 0, 'and never after');
    t.equal(counts.resting, 0, 'nor while it rests as often as it works');
  });

  t.test(
    `CPU limit: a capture leaves half to the program, and says when it had to wait (cgroup of version ${version})`,
    async (t) => {
      if (!requireGo(t)) return;
      const folder = newCpuLimit(t, version, CAPTURE_QUOTA_US);
      if (folder === null) {
        t.pass(`no CPU time can be limited by a cgroup of version ${version} on this machine`);
        return;
      }
      const many = await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' });
      for (const isShared of [true, false]) {
        const [file = '', ...args] = [...(isShared ? inCgroup(folder) : []), many, '-n', '1000'];
        const { pid } = await startGo(t, file, { args });
        const words = ['capture', '--pid', String(pid), '-o', join(temporaryFolder(t), 'limited.gsp'), '--json'];
        const before = periods(folder);
        const { code, stdout } = await gospy(words, { under: inCgroup(folder) });
        t.equal(code, 0);
        const [all = NaN, throttled = NaN] = periods(folder).map((count, i) => count - (before[i] ?? 0));
        const { warnings } = JSON.parse(stdout) as { warnings: { code: string; message: string }[] };
        const message = warnings.find(({ code }) => code === 'cpu-limit')?.message;
        t.equal(message !== undefined, isShared, isShared ? 'it shares the limit' : 'it does not');
        if (message === undefined) continue;
        // Between the first look at the program and the last: Node's own start and end use a period up all the same.
        const working = Number(/used up in (\d+) periods/.exec(message)?.[1]);
        t.ok(working <= throttled && 2 * working < all, `${working} of ${throttled} periods, and of ${all} in all`);
      }
    },
  );
}

import t from 'tap';
import { memoryNeeded } from '../../capture/memory-estimate.js';
import { openLive } from '../../capture/copy/look-again.js';
import { CpuQuota } from '../../capture/process/cpu-quota.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import type { MemoryLeft } from '../../capture/process/memory-left.js';
import { checkCpu, checkMemory } from '../../src/doctor/limits.js';
import { inCgroup, newCpuLimit } from '../support/cgroup.js';
import { MOUNTED_V2, fakeRoot } from '../support/fake-root.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { gospy } from './gospy-process.js';

const PID = 17;
const MANY = { fixture: 'many', release: '1.26', link: 'stripped' } as const;
const GOROUTINES = 1000;
/** What gospy has resident. */
const RESIDENT = 60e6;

t.test(
  'doctor: a capture that would be refused for want of memory fails, and one that may not fit is told',
  async (t) => {
    if (!requireGo(t)) return;
    const { pid } = await startGo(t, await buildGo(MANY), { args: ['-n', String(GOROUTINES)] });
    const target = new LiveProcess(pid, 'read');
    t.teardown(() => target.close());
    const programs = openLive(target);
    t.match(checkMemory(programs, null), { check: { name: 'memory', ok: true }, error: null });
    const check = (bytes: number, then: MemoryLeft['then']): ReturnType<typeof checkMemory> =>
      checkMemory(programs, { bytes, then }, RESIDENT);
    for (const then of ['ends one', 'ends all', 'slows all'] as const) {
      const enough = check(memoryNeeded(programs) - RESIDENT + 10e6, then);
      t.match(enough.check, { ok: true, finding: /leaves 1\d\d MB; a capture takes about 1\d\d MB$/ });
      t.equal(enough.error, null);
    }
    t.match(check(1e6, 'ends all'), {
      check: { ok: false, finding: /leaves 1 MB/, advice: /container of its own/ },
      error: { exitCode: 4 },
    });
    t.match(check(1e6, 'ends one'), {
      check: { ok: null, finding: /leaves 61 MB.*the kernel ends gospy/ },
      error: null,
    });
  },
);

t.test('doctor: says with whom gospy shares a limit on CPU time', (t) => {
  const under = (cgroup: string): CpuQuota | null =>
    CpuQuota.find(
      PID,
      fakeRoot(t, {
        'proc/self/mountinfo': MOUNTED_V2,
        'proc/self/cgroup': '0::/pod/c\n',
        [`proc/${PID}/cgroup`]: `0::${cgroup}\n`,
        'sys/fs/cgroup/pod/c/cpu.max': '25000 100000\n',
      }),
    );
  t.match(checkCpu(null), { name: 'cpu', ok: true, finding: /no limit/ });
  t.match(checkCpu(under('/pod/d')), { ok: true, finding: /a limit of 0\.25 CPUs, and the process does not/ });
  t.match(checkCpu(under('/pod/c')), { ok: null, finding: /share a limit of 0\.25 CPUs/ });
  t.end();
});

for (const version of [1, 2] as const) {
  t.test(`doctor: finds the limit on CPU time that it runs under (cgroup of version ${version})`, async (t) => {
    if (!requireGo(t)) return;
    const folder = newCpuLimit(t, version, 50_000);
    if (folder === null) {
      t.pass(`no CPU time can be limited by a cgroup of version ${version} on this machine`);
      return;
    }
    const [shell, ...words] = inCgroup(folder);
    const { pid } = await startGo(t, shell, { args: [...words, await buildGo(MANY), '-n', String(GOROUTINES)] });
    const { code, stdout } = await gospy(['doctor', '--pid', String(pid)], { under: inCgroup(folder) });
    t.equal(code, 0);
    t.match(stdout, /cpu +gospy and the process share a limit of 0\.50 CPUs/);
    t.match(stdout, /memory +/);
  });
}

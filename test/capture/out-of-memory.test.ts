import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { assertRoom, memoryNeeded } from '../../capture/memory-estimate.js';
import { commitLeft, memoryLeft, type MemoryLeft } from '../../capture/process/memory-left.js';
import { openLive } from '../../capture/copy/look-again.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { GOSPY } from '../src/gospy-process.js';
import { inCgroup, newCgroup } from '../support/cgroup.js';
import { MOUNTED_V2, fakeRoot, mountedV1 } from '../support/fake-root.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { isFree, until } from './targets.js';

const PID = 17;
const GOROUTINES = 40_000;
const MANY = { fixture: 'many', release: '1.26', link: 'stripped' } as const;
/** Enough for Node, and not for a capture of these. */
const LEFT_BYTES = 80 << 20;

const V1 = mountedV1('memory');

t.test('out of memory: the least that any limit leaves, as the cgroups say', (t) => {
  const left = (files: Record<string, string>): unknown => memoryLeft(PID, fakeRoot(t, files));
  const v2 = { 'proc/self/mountinfo': MOUNTED_V2, [`proc/${PID}/cgroup`]: '0::/pod/c\n' };
  const at = (folder: string, limit: string, used: string, others: Record<string, string> = {}) =>
    Object.fromEntries(
      Object.entries({ 'memory.max': limit, 'memory.current': used, ...others }).map(([name, text]) => [
        `sys/fs/cgroup/${folder}${name}`,
        `${text}\n`,
      ]),
    );
  t.equal(left(v2), null, 'nothing can be read');
  t.equal(left({ ...v2, ...at('pod/c/', 'max', '500') }), null, 'no limit');
  t.same(left({ ...v2, ...at('pod/c/', '1000', '400') }), { bytes: 600, then: 'ends one' });
  t.same(left({ ...v2, ...at('pod/c/', '1000', '1200') }), { bytes: 0, then: 'ends one' }, 'never less than nothing');
  const cache = { 'memory.stat': 'anon 5\nfile 300\ninactive_file 250\nactive_file 50' };
  t.same(left({ ...v2, ...at('pod/c/', '1000', '400', cache) }), { bytes: 850, then: 'ends one' }, 'with cached files');
  const group = { 'memory.oom.group': '1' };
  const inPod = at('pod/', '1000', '900');
  t.same(left({ ...v2, ...at('pod/c/', 'max', '400'), ...inPod }), { bytes: 100, then: 'ends one' }, 'a limit above');
  t.same(left({ ...v2, ...at('pod/c/', 'max', '400', group), ...inPod }), { bytes: 100, then: 'ends all' });
  const outer = at('', '1000', '900', group);
  t.same(left({ ...v2, ...at('pod/c/', '1000', '950'), ...outer }), { bytes: 50, then: 'ends one' }, 'the limit below');
  const high = at('pod/c/', '1000', '400', { 'memory.high': '700' });
  t.same(left({ ...v2, ...high }), { bytes: 300, then: 'slows all' }, 'a limit above which all are slowed down');
  t.same(left({ ...v2, ...high, ...at('pod/', '1000', '800') }), { bytes: 200, then: 'ends one' }, 'the lowest counts');
  t.same(left({ ...v2, ...at('pod/c/', '1000', '400', { 'memory.high': 'max' }) }), { bytes: 600, then: 'ends one' });
  const v1 = {
    'proc/self/mountinfo': V1.replace('/ /sys', '/docker/x /sys'),
    [`proc/${PID}/cgroup`]: '4:memory:/docker/x\n',
  };
  const old = (limit: string): Record<string, string> => ({
    'sys/fs/cgroup/memory/memory.limit_in_bytes': `${limit}\n`,
    'sys/fs/cgroup/memory/memory.usage_in_bytes': '400\n',
    'sys/fs/cgroup/memory/memory.stat': 'inactive_file 10\ntotal_inactive_file 20\n',
  });
  t.same(left({ ...v1, ...old('1000') }), { bytes: 620, then: 'ends one' }, 'version 1, as a container sees it');
  t.equal(left({ ...v1, ...old('9223372036854771712') }), null, 'no limit in version 1');
  t.end();
});

t.test('out of memory: what may still be mapped, where the kernel counts that strictly', (t) => {
  const left = (mode: string, meminfo: string): number | null =>
    commitLeft(fakeRoot(t, { 'proc/sys/vm/overcommit_memory': `${mode}\n`, 'proc/meminfo': meminfo }));
  const says = 'MemTotal:       24684192 kB\nCommitLimit:    12342096 kB\nCommitted_AS:    2342096 kB\n';
  t.equal(left('0', says), null);
  t.equal(left('1', says), null);
  t.equal(left('2', says), 10_000_000 * 1024);
  t.equal(left('2', says.replace('12342096', '1000')), 0, 'never less than nothing');
  t.equal(left('2', ''), null, 'nothing is known');
  t.equal(commitLeft(fakeRoot(t, {})), null);
  t.end();
});

/** A new cgroup whose memory can be limited; null if none can be made here. */
function limited(
  t: Test,
  version: 1 | 2,
): { readonly folder: string; leave(bytes: number): void; ended(): number } | null {
  const [limit, used, events] =
    version === 2
      ? (['memory.max', 'memory.current', 'memory.events'] as const)
      : (['memory.limit_in_bytes', 'memory.usage_in_bytes', 'memory.oom_control'] as const);
  const folder = newCgroup(t, version, 'memory', limit);
  if (folder === null) return null;
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  return {
    folder,
    leave: (bytes) => writeFileSync(join(folder, limit), String(Number(read(used)) + bytes)),
    ended: () => Number(/^oom_kill (\d+)$/m.exec(read(events))?.[1]),
  };
}

for (const version of [1, 2] as const) {
  for (const mode of ['stop', 'clone', 'live'] as const) {
    t.test(
      `out of memory: the kernel ends gospy, not the program (cgroup of version ${version}, ${mode})`,
      async (t) => {
        if (!requireGo(t)) return;
        const cgroup = limited(t, version);
        if (cgroup === null) {
          t.pass(`no memory can be limited by a cgroup of version ${version} on this machine`);
          return;
        }
        const [shell, ...within] = inCgroup(cgroup.folder);
        const words = [...within, await buildGo(MANY), '-n', String(GOROUTINES)];
        const program = await startGo(t, shell, { args: words });
        cgroup.leave(LEFT_BYTES);
        const path = join(temporaryFolder(t), 'limited.gsp');
        const capture = [process.execPath, GOSPY, 'capture', '--pid', String(program.pid), '-o', path, '--mode', mode];
        const gospy = spawn(shell, [...within, ...capture], { stdio: 'ignore' });
        const signal = await new Promise((done) => gospy.once('close', (_, by) => done(by)));
        t.ok(cgroup.ended() >= 1, 'memory ran out');
        t.equal(signal, 'SIGKILL', 'gospy was ended');
        await until(() => isFree(program.pid));
        const before = Number(await program.ask('count'));
        await until(async () => Number(await program.ask('count')) > before);
        t.pass('the program runs');
      },
    );
  }
}

t.test('out of memory: no capture where the kernel would end the program too, or slow it down', async (t) => {
  if (!requireGo(t)) return;
  const { pid } = await startGo(t, await buildGo(MANY), { args: ['-n', '1000'] });
  const target = new LiveProcess(pid, 'read');
  t.teardown(() => target.close());
  const programs = openLive(target);
  const needed = memoryNeeded(programs);
  const assertLeft = (left: MemoryLeft | null, resident: number) => () => assertRoom(programs, left, resident);
  for (const [then, does] of [
    ['ends all', 'ends all processes'],
    ['slows all', 'slows all processes of that container down'],
  ] as const) {
    t.throws(assertLeft({ bytes: 1e6, then }, 60e6), {
      exitCode: 4,
      message: new RegExp(`leaves 1 MB, gospy needs about \\d\\d .*${does}`),
    });
    t.throws(assertLeft({ bytes: needed - 61e6, then }, 60e6));
    t.doesNotThrow(assertLeft({ bytes: needed - 59e6, then }, 60e6));
  }
  t.doesNotThrow(assertLeft({ bytes: 1e6, then: 'ends one' }, 60e6), 'it ends gospy');
  t.doesNotThrow(assertLeft(null, 60e6));
});

import { execFile } from 'node:child_process';
import { chmodSync, readFileSync, readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import tap, { test } from 'tap';
import { accessChecks } from '../../capture/process/access-checks.js';
import { readAccessFacts } from '../../capture/process/access-facts.js';
import { assertReachable } from '../../capture/process/permission.js';
import { innerHint } from '../../capture/process/unseen-process.js';
import { parseStat } from '../../capture/process/procfs.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { NO_PID, Target, buildC, isFree, patient, thrownBy, until } from './targets.js';

const NOBODY = 65534;
const programs = buildC();
tap.teardown(() => programs.remove());
chmodSync(programs.folder, 0o755);

/** What assertReachable throws in a process that has given up being root, as JSON. The command `under` runs that process. */
async function seenAs(uid: number, pid: number, under: readonly string[] = []): Promise<unknown> {
  const script = `
    const { assertReachable } = await import(${JSON.stringify(new URL('../../capture/process/permission.js', import.meta.url).href)});
    process.setgroups([]); process.setgid(${uid}); process.setuid(${uid});
    let seen = null;
    try { assertReachable(${pid}, 'stop'); } catch ({ exitCode, message, hint }) { seen = { exitCode, message, hint }; }
    console.log(JSON.stringify(seen));`;
  const [file, ...args] = [...under, process.execPath, '--input-type=module', '-e', script];
  const { stdout } = await promisify(execFile)(file, args);
  return JSON.parse(stdout);
}

test('permission: a process of root is refused to others, and the message says why', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  t.match(await seenAs(NOBODY, target.pid), {
    exitCode: 4,
    message: `process ${target.pid} (target) was refused (EPERM): it belongs to uid 0 and gospy runs as uid 65534 without CAP_SYS_PTRACE.`,
    hint: /sudo gospy/,
  });
});

test('permission: a process of the same user is permitted, unless it is not dumpable', async (t) => {
  const open = await Target.startAs(NOBODY, programs.c, 'sleepers', '1');
  t.teardown(() => open.end());
  t.equal(await seenAs(NOBODY, open.pid), null);
  const closed = await Target.startAs(NOBODY, programs.c, 'undumpable');
  t.teardown(() => closed.end());
  t.match(await seenAs(NOBODY, closed.pid), { exitCode: 4, message: /not dumpable/, hint: /sudo gospy/ });
  t.equal(
    thrownBy(() => assertReachable(closed.pid, 'stop')),
    undefined,
    'root may',
  );
});

test('permission: a process with a capability that gospy lacks is refused, and the capability named', async (t) => {
  const ids = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups'];
  const capable = ['--inh-caps=+net_bind_service', '--ambient-caps=+net_bind_service'];
  const target = await Target.start('setpriv', ...ids, ...capable, programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  t.match(await seenAs(NOBODY, target.pid), {
    exitCode: 4,
    message: /: it has CAP_NET_BIND_SERVICE, which gospy lacks\.$/,
    hint: /sudo gospy/,
  });
});

test('permission: a process that /proc hides exists, and the option that hides it is named', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  const hiding = (option: string): string[] => {
    const script = `mount -t proc -o ${option} proc /proc && exec "$@"`;
    return ['unshare', '--mount', 'sh', '-c', script, 'sh'];
  };
  for (const option of ['hidepid=1', 'hidepid=2']) {
    t.match(await seenAs(NOBODY, target.pid, hiding(option)), {
      exitCode: 4,
      message: new RegExp(`Process ${target.pid} exists, but /proc hides it from gospy: it is mounted with hidepid=`),
      hint: /sudo gospy .* as the user of the process/,
    });
    t.match(await seenAs(NOBODY, NO_PID, hiding(option)), { exitCode: 3, message: /There is no process/ });
    t.equal(await seenAs(0, target.pid, hiding(option)), null, 'root sees it');
    const own = await Target.startAs(NOBODY, programs.c, 'sleepers', '1');
    t.equal(await seenAs(NOBODY, own.pid, hiding(option)), null, 'its user sees it');
    await own.end();
  }
});

test('permission: a traced process is refused, named with its tracer, and left as it is', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  const tracer = Target.spawn(programs.c, 'trace', String(target.pid));
  t.teardown(() => tracer.end());
  t.equal(await tracer.line(), 'tracing');
  const expected = { exitCode: 4, message: `target (pid ${tracer.pid}) traces it already`, hint: /--mode live/ };
  t.match(
    thrownBy(() => assertReachable(target.pid, 'stop')),
    expected,
  );
  t.equal(
    thrownBy(() => assertReachable(target.pid, 'read')),
    undefined,
  );
  const { threads } = withStopped(target.pid, patient, () => undefined);
  t.strictSame(
    threads.map(({ tid, stopped }) => stopped === (tid !== target.pid)),
    [true, true, true, true],
  );
  await target.beatsOn();
});

test('permission: a seccomp filter that refuses ptrace is named', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  const script = `
    const { withStopped } = await import(${JSON.stringify(new URL('../../capture/ptrace/stop.js', import.meta.url).href)});
    try { withStopped(${target.pid}, ${JSON.stringify(patient)}, () => undefined); }
    catch ({ exitCode, message, hint }) { console.log(JSON.stringify({ exitCode, message, hint })); }`;
  const command = [process.execPath, '--input-type=module', '-e', script];
  const { stdout } = await promisify(execFile)(programs.c, ['deny', 'ptrace', '1', ...command]);
  t.match(JSON.parse(stdout), { exitCode: 4, message: /seccomp filter/, hint: /--cap-add SYS_PTRACE/ });
  t.ok(isFree(target.pid));
});

test('permission: no process, a zombie and gospy itself are exit code 3', async (t) => {
  t.match(
    thrownBy(() => assertReachable(NO_PID, 'stop')),
    { exitCode: 3, message: `There is no process ${NO_PID}.` },
  );
  t.match(
    thrownBy(() => assertReachable(process.pid, 'stop')),
    { exitCode: 3, message: /gospy itself/ },
  );
  const parent = Target.spawn('/bin/sh', '-c', 'sleep 1000 & echo $!; exec sleep 1000');
  t.teardown(() => parent.end());
  const zombie = Number(await parent.line());
  // The shell would reap its child; the sleep that takes its place does not.
  await until(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8') === 'sleep\n', 'the execve of the shell');
  process.kill(zombie, 'SIGKILL');
  await until(() => parseStat(readFileSync(`/proc/${zombie}/stat`, 'utf8')).state === 'Z', 'a zombie');
  t.match(
    thrownBy(() => assertReachable(zombie, 'stop')),
    { exitCode: 3, message: /zombie/ },
  );
});

test('permission: a thread is not a process, and is told from gospy', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  const last = (pid: number): number => Number(readdirSync(`/proc/${pid}/task`).at(-1));
  t.match(
    thrownBy(() => assertReachable(last(target.pid), 'read')),
    { exitCode: 3, message: `a thread of process ${target.pid} (target)`, hint: `--pid ${target.pid}` },
  );
  t.match(
    thrownBy(() => assertReachable(last(process.pid), 'read')),
    { exitCode: 3, message: /gospy itself/ },
  );
});

test('permission: something that is mounted over the folder of a process is not taken for it', async (t) => {
  const [shown, covered] = [
    await Target.start(programs.c, 'sleepers', '1'),
    await Target.start(programs.c, 'sleepers', '1'),
  ];
  t.teardown(() => Promise.all([shown.end(), covered.end()]));
  const script = `mount --bind /proc/${shown.pid} /proc/${covered.pid} && exec "$@"`;
  t.match(await seenAs(0, covered.pid, ['unshare', '--mount', 'sh', '-c', script, 'sh']), {
    exitCode: 4,
    message: `/proc/${covered.pid}: it shows process ${shown.pid}`,
  });
});

test('permission: a pid of a container leads to the pid that it has here', async (t) => {
  const outer = Target.spawn('unshare', '--pid', '--fork', '--kill-child', programs.c, 'sleepers', '1');
  t.teardown(() => outer.end());
  while ((await outer.line()) !== 'ready');
  t.match(innerHint(1), /^What a container calls 1 is here \d+ \(.*: type that number\.$/);
  t.equal(innerHint(NO_PID), null);
});

test('permission: kernel threads are recognized', (t) => {
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const pid = Number(name);
    const text = readText(`/proc/${pid}/status`);
    // A living process without memory of its own is a kernel thread.
    if (text === null || pid === process.pid || /^State:\s*[ZX]/m.test(text)) continue;
    const kernelThread = !/^VmSize:/m.test(text);
    const error = thrownBy(() => assertReachable(pid, 'read'));
    const said = error instanceof Error && error.message.includes('kernel thread');
    if (readText(`/proc/${pid}/status`) !== null) t.equal(said, kernelThread, `process ${pid}`);
  }
  t.end();
});

test('permission: every check holds for root', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  t.ok(accessChecks(readAccessFacts(target.pid)).every(({ ok, advice }) => ok !== false && advice === null));
});

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

import { execFile } from 'node:child_process';
import { chmodSync, readFileSync, readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import tap, { test } from 'tap';
import { accessChecks, assertReachable } from '../../capture/process/permission.js';
import { parseStat } from '../../capture/process/procfs.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { NO_PID, Target, buildC, isFree, patient, thrownBy, until } from './targets.js';

const NOBODY = 65534;
const programs = buildC();
tap.teardown(() => programs.remove());
chmodSync(programs.folder, 0o755);

/** What assertReachable throws in a process that has given up being root, as JSON. */
async function seenAs(uid: number, pid: number): Promise<unknown> {
  const script = `
    const { assertReachable } = await import(${JSON.stringify(new URL('../../capture/process/permission.js', import.meta.url).href)});
    process.setgroups([]); process.setgid(${uid}); process.setuid(${uid});
    let seen = null;
    try { assertReachable(${pid}, 'stop'); } catch ({ exitCode, message, hint }) { seen = { exitCode, message, hint }; }
    console.log(JSON.stringify(seen));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
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
  t.ok(accessChecks(target.pid).every(({ ok, advice }) => ok !== false && advice === null));
});

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

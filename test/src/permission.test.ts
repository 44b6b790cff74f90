import { chmodSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Target, buildC, isFree } from '../capture/targets.js';
import { temporaryFolder } from '../support/gsp.js';
import { startGoTarget } from './go-target.js';
import { gospy, type Ended } from './gospy-process.js';

/** What gospy says where the kernel does not let it in, or where /proc is not its own. Each is seen in a real one. */

interface Check {
  readonly name: string;
  readonly ok: boolean | null;
  readonly finding: string;
  readonly advice: string | null;
}

interface Diagnosis {
  readonly ok: boolean;
  readonly checks: readonly Check[];
  readonly process: null | {
    readonly checks: readonly Check[];
    readonly modes: readonly { readonly mode: string; readonly works: boolean }[];
  };
}

const scratch = temporaryFolder(t);
const folder = join(scratch, 'served');
mkdirSync(folder);
const programs = buildC();
t.teardown(() => programs.remove());
chmodSync(programs.folder, 0o755);

const USER_NAMESPACE = ['unshare', '--user', '--map-root-user'];
const HOOK = `--import ${new URL('./proc-hook.js', import.meta.url).href}`;
/** root, without the right to trace what is not its own. */
const WITHOUT_PTRACE = ['setpriv', '--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace'];

async function doctor(pid: number, under: readonly string[] = []): Promise<Ended & { diagnosis: Diagnosis }> {
  const ended = await gospy(['doctor', '--json', '--pid', `${pid}`], { under });
  return { ...ended, diagnosis: JSON.parse(ended.stdout) as Diagnosis };
}

function verdicts({ process }: Diagnosis): Record<string, boolean | null> {
  const { checks = [], modes = [] } = process ?? {};
  return Object.fromEntries([
    ...checks.map(({ name, ok }) => [name, ok] as const),
    ...modes.map(({ mode, works }) => [mode, works] as const),
  ]);
}

/** The only child of a process, such as of unshare. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
}

t.test('permission: a user namespace of its own is named, and no security module', async (t) => {
  const target = await startGoTarget(t, folder);
  const refused = await gospy(['summary', '--pid', `${target.pid}`], { under: USER_NAMESPACE });
  t.equal(refused.code, 4);
  t.match(refused.stderr, /gospy is root only within its own user namespace, and the process is outside/);
  t.match(refused.stderr, /Run gospy outside of that namespace .* as the user of the process or as root\./);
  t.notMatch(refused.stderr, /security module|sudo/);

  const { code, diagnosis } = await doctor(target.pid, USER_NAMESPACE);
  t.equal(code, 4);
  t.equal(diagnosis.ok, false);
  t.match(verdicts(diagnosis), { namespace: false, lsm: null, stop: false, clone: false, live: false });
  const privileges = diagnosis.checks.find(({ name }) => name === 'privileges');
  t.match(privileges, { ok: null, finding: /in its own user namespace only: .* those outside of it cannot$/ });
  t.ok(isFree(target.pid));
});

t.test('permission: user namespaces below are within reach, those beside are not', async (t) => {
  const target = await startGoTarget(t, folder, USER_NAMESPACE);
  const inside = ['nsenter', '--user', '--preserve-credentials', '--target', `${target.pid}`];
  const outer = await doctor(target.pid);
  t.equal(outer.code, 0);
  t.match(verdicts(outer.diagnosis), { namespace: true, uid: true, capabilities: true, stop: true, live: true });
  const same = await gospy(['summary', '--pid', `${target.pid}`], { under: inside });
  t.equal(same.code, 0, same.stderr);
  const beside = await gospy(['summary', '--pid', `${target.pid}`], { under: USER_NAMESPACE });
  t.equal(beside.code, 4);
  t.match(beside.stderr, /root only within its own user namespace/);

  const nested = await startGoTarget(t, folder, [...inside, ...USER_NAMESPACE]);
  const below = await doctor(nested.pid, inside);
  t.equal(below.code, 0, below.stderr);
  t.match(verdicts(below.diagnosis), { namespace: true, stop: true, clone: true, live: true });
});

t.test('permission: with the /proc of another pid namespace, nothing is read or attached to', async (t) => {
  const target = await startGoTarget(t, folder);
  const output = join(scratch, 'never');
  const under = ['unshare', '--pid', '--fork', '--kill-child'];
  const commands = [
    ['capture', '-o', output],
    ['capture', '-o', output, '--mode', 'live'],
    ['capture', '-o', output, '--mode', 'clone'],
    ['summary'],
    ['top', '--once'],
    ['export', '--format', 'core', '-o', output],
    ['doctor'],
  ];
  for (const command of commands) {
    const { code, stderr } = await gospy([...command, '--pid', `${target.pid}`], {
      under,
      env: { NODE_OPTIONS: HOOK },
    });
    t.equal(code, 4, command.join(' '));
    t.match(stderr, /\/proc shows another pid namespace than gospy's own, with gospy as process \d+ in it/);
    t.notMatch(stderr, /touched/);
  }
  const watched = await gospy(['summary', '--pid', `${target.pid}`], { env: { NODE_OPTIONS: HOOK } });
  t.match(watched.stderr, `touched ${target.pid}`, 'the hook sees what is read');
  t.ok(isFree(target.pid));
  t.notOk(readdirSync(scratch).includes('never'));

  const diagnosis = JSON.parse((await gospy(['doctor', '--json'], { under })).stdout) as Diagnosis;
  t.equal(diagnosis.ok, false);
  t.match(Object.fromEntries(diagnosis.checks.map(({ name, ok }) => [name, ok])), {
    proc: false,
    native: null,
    tracing: null,
    privileges: null,
  });
});

t.test('permission: a /proc without gospy in it, or none at all', async (t) => {
  const target = await startGoTarget(t, folder, ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']);
  const mount = ['nsenter', '--mount', '--target', `${childOf(target.pid)}`];
  const inside = await gospy(['summary', '--pid', '1'], { under: mount });
  t.equal(inside.code, 4);
  t.match(inside.stderr, /another pid namespace than gospy's own, without gospy in it/);
  const both = await gospy(['summary', '--pid', '1'], { under: [...mount, '--pid'] });
  t.equal(both.code, 0, both.stderr);

  const covered = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh'];
  const { code, stderr } = await gospy(['summary', '--pid', `${target.pid}`], { under: covered });
  t.equal(code, 4);
  t.match(stderr, /no proc file system is mounted on \/proc/);
});

t.test('permission: a tracer is named, and mode live is offered and works', async (t) => {
  const target = await startGoTarget(t, folder);
  const tracer = Target.spawn(programs.c, 'trace', String(target.pid));
  t.teardown(() => tracer.end());
  t.equal(await tracer.line(), 'tracing');
  const { code, stderr, diagnosis } = await doctor(target.pid);
  t.equal(code, 4);
  t.match(stderr, `target (pid ${tracer.pid}) traces it already`);
  t.match(stderr, /Memory can be read all the same: `gospy capture --mode live`/);
  t.match(verdicts(diagnosis), { tracer: false, lsm: true, stop: false, clone: false, live: true });
  const live = await gospy(['capture', '--pid', `${target.pid}`, '--mode', 'live', '-o', join(scratch, 'traced.gsp')]);
  t.equal(live.code, 0, live.stderr);
});

t.test('permission: a tracer outside of the pid namespace is supposed', async (t) => {
  const outer = await startGoTarget(t, folder, ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']);
  const pid = childOf(outer.pid);
  const tracer = Target.spawn(programs.c, 'trace-all', `${pid}`);
  t.teardown(() => tracer.end());
  t.equal(await tracer.line(), 'tracing');
  const under = ['nsenter', '--mount', '--pid', '--target', `${pid}`];
  const { code, stderr } = await gospy(['summary', '--pid', '1'], { under });
  t.equal(code, 4, stderr);
  t.match(stderr, /another tracer has it: .* or one that cannot be seen from this pid namespace/);
  t.match(stderr, /--mode live/);
  t.notMatch(stderr, /security module|seccomp/);
});

t.test('permission: where a seccomp filter forbids ptrace, mode live is offered and works', async (t) => {
  const target = await startGoTarget(t, folder);
  const under = [programs.c, 'deny', 'ptrace', '1'];
  const { code, stderr, diagnosis } = await doctor(target.pid, under);
  t.equal(code, 4);
  t.match(stderr, /gospy runs under a seccomp filter, which forbids ptrace.*--mode live/);
  t.match(verdicts(diagnosis), { seccomp: false, lsm: true, stop: false, clone: false, live: true });
  t.match(
    diagnosis.checks.find(({ name }) => name === 'privileges'),
    { finding: /can be read with --mode live$/ },
  );
  const stopped = await gospy(['summary', '--pid', `${target.pid}`], { under });
  t.equal(stopped.code, 4);
  t.match(stopped.stderr, /seccomp filter, which forbids ptrace.*--mode live/);
  const live = await gospy(['capture', '--pid', `${target.pid}`, '--mode', 'live', '-o', join(scratch, 'x.gsp')], {
    under,
  });
  t.equal(live.code, 0, live.stderr);
});

t.test('permission: root without CAP_SYS_PTRACE is not told to be root', async (t) => {
  const target = await Target.startAs(65534, programs.c, 'sleepers', '1');
  t.teardown(() => target.end());
  const { code, stderr, diagnosis } = await doctor(target.pid, WITHOUT_PTRACE);
  t.equal(code, 4);
  t.match(stderr, /it belongs to uid 65534 and gospy runs as uid 0 without CAP_SYS_PTRACE/);
  t.match(stderr, /--cap-add SYS_PTRACE.* or as uid 65534, whose process it is/);
  t.notMatch(JSON.stringify(diagnosis) + stderr, /sudo|as root/);
  t.match(verdicts(diagnosis), { uid: false, lsm: null, live: false });
});

t.test('permission: the number of a thread is told from that of its process', async (t) => {
  const target = await startGoTarget(t, folder);
  const tid = readdirSync(`/proc/${target.pid}/task`).at(-1) ?? '';
  const { code, stderr } = await gospy(['summary', '--pid', tid]);
  t.equal(code, 3);
  t.match(
    stderr,
    `${tid} is not a process, but a thread of process ${target.pid} (esbuild). Name the process: \`--pid ${target.pid}\`.`,
  );
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '../support/eventually.js';
import { temporaryFolder } from '../support/gsp.js';
import { skip } from '../support/skip.js';
import { parseTraceback } from '../support/traceback.js';
import { startGoTarget, statusField } from './go-target.js';
import { GOSPY, gospy, interruptedAt } from './gospy-process.js';

const folder = temporaryFolder(t);
const served = join(folder, 'served');
mkdirSync(served);

/** Creates an empty folder for snapshots. */
function outputs(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

/** Returns the state in lines such as `12 - waiting for chan receive: main.f (/f.go:1)`, by goroutine id. */
function lines(stdout: string): Map<number, string> {
  return new Map([...stdout.matchAll(/^(\d+) - ([^:]+): /gm)].map(([, goid, status = '']) => [Number(goid), status]));
}

t.test('capture and summary: say what the program itself says of its goroutines', async (t) => {
  const target = await startGoTarget(t, served);
  const path = join(outputs('truth'), 'snap.gsp');
  t.match(await gospy(['capture', '--pid', `${target.pid}`, '-o', path]), { code: 0, stderr: '' });
  const live = await gospy(['summary', '--pid', `${target.pid}`, '--limit', '0']);
  const truth = parseTraceback(await target.quit());

  const file = await gospy(['summary', path, '--limit', '0']);
  for (const { code, stdout, stderr } of [live, file]) {
    t.equal(code, 0);
    t.equal(stderr, '');
    t.ok(stdout.startsWith(`bin: ${target.path}, goVer: 1.`), 'the first line');
    const said = lines(stdout);
    t.match(stdout, `Goroutines: ${said.size} total, `);
    t.same(
      [...said.keys()],
      [...said.keys()].sort((a, b) => a - b),
      'in the order of ids',
    );
    // Id 0 is the system stack of a thread.
    const parked = truth.filter(({ goid, status }) => goid !== 0 && status !== 'running' && status !== 'runnable');
    t.ok(parked.length >= 5, `${parked.length} parked goroutines`);
    for (const { goid, status } of parked) {
      const expected = status === 'syscall' ? status : `waiting for ${status}`;
      t.equal(said.get(goid), expected, `goroutine ${goid}`);
    }
  }
});

t.test('summary: counts the threads that /proc has', async (t) => {
  const target = await startGoTarget(t, served);
  const count = (): number => readdirSync(`/proc/${target.pid}/task`).length;
  const before = count();
  const { stdout } = await gospy(['summary', '--pid', `${target.pid}`]);
  const total = Number(/^Threads: (\d+) total/m.exec(stdout)?.[1]);
  t.ok([before, count()].includes(total), `${total} threads, /proc says ${before}`);
});

t.test('capture --json: one document with the fields of the contract, and one private file', async (t) => {
  const target = await startGoTarget(t, served);
  const here = outputs('json');
  const path = join(here, 'snap.gsp');
  const { code, stdout, stderr } = await gospy(['capture', '--pid', `${target.pid}`, '-o', path, '--json', '--strict']);
  t.equal(code, 0);
  t.equal(stderr, '');
  const document = JSON.parse(stdout) as Record<string, unknown>;
  t.same(Object.keys(document), [
    ...['schema', 'path', 'pid', 'goVersion', 'mode', 'pauseNs', 'lateThreads', 'longestLateNs'],
    ...['goroutines', 'runtimes', 'bytesRead', 'bytesWritten', 'threads', 'partial', 'leaks', 'warnings'],
  ]);
  t.match(document, { schema: 'gospy.capture/1', path, pid: target.pid, mode: 'stop', partial: false, warnings: [] });
  t.ok(Number(document['pauseNs']) > 0);
  t.equal(document['bytesWritten'], statSync(path).size);
  t.equal(statSync(path).mode % 0o1000, 0o600);
  t.same(readdirSync(here), ['snap.gsp']);

  const summary = JSON.parse((await gospy(['summary', path, '--json'])).stdout) as Record<string, unknown>;
  t.same(Object.keys(summary), [
    'schema',
    'target',
    'runtimes',
    'ps',
    'threads',
    'goroutines',
    'sched',
    'longestWaits',
    'findings',
    'warnings',
  ]);
  t.match(summary, {
    schema: 'gospy.summary/1',
    target: { kind: 'snapshot', pid: target.pid, bin: target.path, pauseNs: document['pauseNs'], mode: 'stop' },
    goroutines: { total: document['goroutines'] },
  });
  const live = await gospy(['summary', '--pid', `${target.pid}`, '--json']);
  t.match(JSON.parse(live.stdout), { target: { kind: 'live', pid: target.pid } });
  const info = await gospy(['info', path, '--json']);
  t.match(JSON.parse(info.stdout), {
    schema: 'gospy.info/1',
    ok: true,
    target: { bin: target.path },
    threads: document['threads'],
  });
});

t.test('capture --non-blocking: is mode live, without a pause', async (t) => {
  const target = await startGoTarget(t, served);
  const path = join(outputs('live'), 'snap.gsp');
  for (const how of [['--non-blocking'], ['--mode', 'live'], ['--mode', 'live', '--non-blocking']]) {
    const { code, stdout } = await gospy(['capture', '--pid', `${target.pid}`, '-o', path, '--json', ...how]);
    t.equal(code, 0);
    t.match(JSON.parse(stdout), { mode: 'live', pauseNs: 0 });
  }
});

t.test('summary --limit: says how many more there are, and 0 is all', async (t) => {
  const target = await startGoTarget(t, served);
  const path = join(outputs('limit'), 'snap.gsp');
  await gospy(['capture', '--pid', `${target.pid}`, '-o', path]);
  const all = await gospy(['summary', path, '--limit', '0']);
  const total = lines(all.stdout).size;
  t.notMatch(all.stdout, / more /);
  const two = await gospy(['summary', path, '--limit', '2']);
  t.same([...lines(two.stdout)], [...lines(all.stdout)].slice(0, 2));
  t.match(two.stdout, new RegExp(`^\\.\\.\\. ${total - 2} more .*\\n$`, 'm'));
});

t.test('capture: refuses what is not a Go program, and leaves no file', async (t) => {
  const here = outputs('refused');
  const path = join(here, 'snap.gsp');
  const refused = async (pid: number, code: number, words: RegExp): Promise<void> => {
    for (const args of [['capture', '-o', path], ['summary'], ['summary', '--json']]) {
      const ended = await gospy([...args, '--pid', `${pid}`]);
      t.equal(ended.code, code, `${args.join(' ')}: ${ended.stderr}`);
      t.equal(ended.stdout, '');
      t.match(ended.stderr, words);
      t.equal(ended.stderr.split('\n').length, 2, 'one paragraph');
    }
  };
  await refused(process.pid, 3, /Go/);
  const gone = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(gone, 'exit');
  await refused(gone.pid ?? 0, 3, /no process/);

  // The child ends once the shell has become a program that never reaps it.
  const child = '(until read -r name < /proc/$$/comm && [ "$name" = sleep ]; do :; done) & echo $!';
  const parent = spawn('sh', ['-c', `${child}; exec sleep 1000`], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => parent.kill('SIGKILL'));
  const [said] = (await once(parent.stdout, 'data')) as [Buffer];
  const zombie = Number(said.toString('utf8'));
  const state = (): string => statusField(zombie, 'State');
  await eventually(() => (state().startsWith('Z') ? true : null), 'a zombie', state);
  await refused(zombie, 3, /zombie/);
  t.same(readdirSync(here), []);
});

t.test('capture: the output is checked before the process is looked at', async (t) => {
  const here = outputs('output');
  for (const [output, words] of [
    [here, /folder/],
    ['/dev/null', /not a regular file/],
    [join(here, 'none', 'snap.gsp'), /no such/],
  ] as const) {
    const { code, stdout, stderr } = await gospy(['capture', '--pid', '1', '-o', output]);
    t.equal(code, 5);
    t.equal(stdout, '');
    t.match(stderr, words);
  }
  t.ok(statSync('/dev/null').isCharacterDevice());
});

t.test('capture: another user is refused, and learns why', async (t) => {
  const isRoot = process.getuid?.() === 0;
  const pid = isRoot ? (await startGoTarget(t, served)).pid : 1;
  if (!isRoot && statusField(pid, 'Uid').startsWith(`${process.getuid?.() ?? 0}\t`)) {
    skip(t, 'there is no process of another user');
    return;
  }
  for (const args of [['summary'], ['doctor']]) {
    const command = [...(isRoot ? AS_NOBODY : []), process.execPath, GOSPY, ...args, '--pid', `${pid}`];
    const { code, stderr } = await ended(command);
    t.equal(code, 4, stderr);
    t.match(stderr, /root/);
  }
});

/** A command prefix: an unprivileged user who may read every file, such as those of this checkout. */
const AS_NOBODY = [
  ...['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all,+dac_read_search'],
  ...['--inh-caps=-all,+dac_read_search', '--ambient-caps=-all,+dac_read_search'],
];

async function ended([file = '', ...args]: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stderr };
}

for (const instant of ['memory', 'stop', 'file'] as const) {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    t.test(`capture: ${signal} ends it with 130 and leaves the process as it was (${instant})`, async (t) => {
      const target = await startGoTarget(t, served);
      const here = outputs(`${signal}-${instant}`);
      const args = ['capture', '--pid', `${target.pid}`, '-o', join(here, 'snap.gsp')];
      const { code, stdout } = await interruptedAt(instant, signal, args, { pid: target.pid });
      t.equal(code, 130);
      t.equal(stdout, '');
      t.same(readdirSync(here), [], 'nothing is left');
      t.equal(statusField(target.pid, 'TracerPid'), '0');
      t.notMatch(statusField(target.pid, 'State'), /^[Tt]/);
      t.equal((await gospy(['summary', '--pid', `${target.pid}`])).code, 0, 'the program goes on');
    });
  }
}

t.test('capture: a signal as it ends leaves a whole snapshot', async (t) => {
  const target = await startGoTarget(t, served);
  const path = join(outputs('late'), 'snap.gsp');
  await interruptedAt('output', 'SIGTERM', ['capture', '--pid', `${target.pid}`, '-o', path], { pid: target.pid });
  t.equal((await gospy(['info', path])).code, 0, 'the snapshot is whole');
});

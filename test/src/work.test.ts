import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { gcore } from '../support/cores.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { cellName, RELEASES, type Release } from '../support/releases.js';
import { WORKING_CELLS } from '../support/work-cells.js';
import { gospyHere } from './gospy-here.js';

/** A cell takes 4 to 15 seconds. */
const CELL_MS = 60_000;

t.setTimeout(300_000 + CELL_MS * WORKING_CELLS.length);

/** In every string that the program alone may know. */
const SECRET = /planted/;

/** Kinds that are told of any snapshot. */
const WAITS = new Set(['chan', 'lock', 'timer']);

interface Told {
  readonly goid: number;
  readonly kind: string;
  readonly text: string;
  readonly sure: boolean;
  readonly since: string | null;
}

async function told(...args: readonly string[]): Promise<Told[]> {
  const { code, stdout, stderr } = await gospyHere(['goroutines', ...args, '--json']);
  if (code !== 0) throw new Error(stderr);
  const { goroutines } = JSON.parse(stdout) as { goroutines: GoroutineWithStack[] };
  return goroutines.flatMap(({ goid, work }) => work.map((one) => ({ goid, ...one })));
}

/** Lines that do not depend on the order, nor on how a time is written. */
function comparable(all: readonly Told[]): string[] {
  return all.map((one) => JSON.stringify({ ...one, since: one.since === null ? null : Date.parse(one.since) })).sort();
}

/** What the program says that its goroutines work on, as `GOID KIND TEXT`. */
function saidBy({ stdout }: GoProcess): string[] {
  return [...stdout.matchAll(/^work (.*)$/gm)].map(([, line = '']) => line).sort();
}

/** The same of what was found, for those goroutines. Of sockets, the program does not know the descriptors; nor the state of pools. */
function asSaid(found: readonly Told[], said: readonly string[]): string[] {
  const wanted = new Set(said.map((line) => line.split(' ').slice(0, 2).join(' ')));
  return found
    .filter(({ goid, kind }) => wanted.has(`${goid} ${kind}`))
    .map(
      ({ goid, kind, text }) =>
        `${goid} ${kind} ${text.replace(/^fd \d+ /, '').replace(/^unix .*| \((?:on [^;()]*; )?pool: .*\)$/, (end) => (end.startsWith('unix') ? 'unix' : ''))}`,
    )
    .sort();
}

/** Of each TCP socket that the kernel knows of a process, by its descriptor, the ends as it has them. */
function socketsOf(pid: number): Map<number, { local: string; remote: string }> {
  const byInode = new Map<string, { local: string; remote: string }>();
  for (const line of readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    byInode.set(`socket:[${fields[9]}]`, { local: endOf(fields[1]), remote: endOf(fields[2]) });
  }
  const sockets = new Map<number, { local: string; remote: string }>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const ends = byInode.get(readlinkSync(`/proc/${pid}/fd/${fd}`));
    if (ends !== undefined) sockets.set(Number(fd), ends);
  }
  return sockets;
}

/** `0100007F:1F90` is 127.0.0.1:8080. */
function endOf(text = ''): string {
  const [ip = '', port = ''] = text.split(':');
  return `${[...Buffer.from(ip, 'hex')].reverse().join('.')}:${parseInt(port, 16)}`;
}

/** Tables of Go 1.17 do not tell whether the length of a string is in its slot: statements are not told. */
function saidOf(running: GoProcess, release: Release): string[] {
  return saidBy(running).filter((line) => release !== '1.17' || line.split(' ')[1] !== 'sql');
}

function check(t: Test, running: GoProcess, release: Release, found: readonly Told[], how: string): void {
  const said = saidOf(running, release);
  t.ok(saidBy(running).length >= 15, `${how}: the program says enough`);
  t.strictSame(asSaid(found, said), said, `${how}: all that the program says, and nothing else of these`);
  const goids = new Set(said.map((line) => Number(line.split(' ')[0])));
  const others = found.filter(
    ({ goid, kind, text }) =>
      !goids.has(goid) && (kind === 'http-server' || kind === 'sql') && !text.startsWith('background read of '),
  );
  const idle = /^idle (.*)$/m.exec(running.stdout)?.[1];
  t.strictSame(
    others.map(({ kind, text }) => `${kind} ${text}`),
    [`http-server idle connection from ${idle}`],
    `${how}: of the others, one connection is idle`,
  );
}

/** Before Go 1.17 nothing in a g tells whether a goroutine ran: what was read before the stop is only probable. */
function isCounted(release: Release): boolean {
  return Number(RELEASES[release].split('.')[1]) >= 17;
}

for (const cell of WORKING_CELLS) {
  t.test(`work: requests, statements and sockets are those that the program says (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const path = await buildGo(cell);
    const running = await startGo(t, path);
    await untilQuiet(running.pid);
    const now = Date.now();
    const live = await told('--pid', String(running.pid));
    check(t, running, cell.release, live, 'live');
    t.ok(
      live.every(({ kind, sure }) => WAITS.has(kind) || sure === isCounted(cell.release)),
      'sure where the release tells it',
    );
    const since = live
      .filter(({ kind, text }) => kind === 'http-server' && !text.startsWith('background read of '))
      .map((one) => Date.parse(one.since ?? ''));
    t.ok(
      since.every((at) => at <= now && at > now - 300_000),
      'requests began since the program did',
    );
    const sockets = socketsOf(running.pid);
    const tcp = live.flatMap(({ text }) => [...text.matchAll(/^fd (\d+) tcp (?:listening on (.*)|(.*) -> (.*))$/g)]);
    t.ok(tcp.length >= 20, 'sockets');
    t.strictSame(
      tcp.map(([, fd, listening, local, remote]) => [Number(fd), listening ?? local, remote ?? '0.0.0.0:0']),
      tcp.map(([, fd]) => [Number(fd), sockets.get(Number(fd))?.local, sockets.get(Number(fd))?.remote]),
      'their ends are those that the kernel knows',
    );
    for (const mode of ['live', 'clone']) {
      const file = join(temporaryFolder(t), `${mode}.gsp`);
      const args = ['capture', '--pid', String(running.pid), '-o', file, '--mode', mode, '--values', 'full'];
      t.equal((await gospyHere(args)).code, 0);
      check(t, running, cell.release, await told(file), mode);
    }
    if (cell.release !== '1.26') return running.kill();
    const core = await gcore(t, running.pid);
    await running.kill();
    const inCore = await told(core, '--bin', path);
    check(t, running, cell.release, inCore, 'core');
    t.ok(
      inCore.every(({ sure }) => sure),
      'what a core has did not move',
    );
    const distilled = join(temporaryFolder(t), 'core.gsp');
    const args = ['capture', '--core', core, '--bin', path, '-o', distilled, '--values', 'full'];
    t.equal((await gospyHere(args)).code, 0);
    check(t, running, cell.release, await told(distilled), 'snapshot of the core');
  });
}

t.test('work: a snapshot has no more of values than its level says', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo({ fixture: 'working', release: '1.27', link: 'stripped' }));
  await untilQuiet(running.pid);
  const capture = async (...args: readonly string[]): Promise<string> => {
    const file = join(temporaryFolder(t), 'snap.gsp');
    const { code, stderr } = await gospyHere(['capture', '--pid', String(running.pid), '-o', file, ...args]);
    t.equal(code, 0, stderr);
    return file;
  };
  const outputs = async (file: string): Promise<string> => {
    const commands = [
      ...[
        ['goroutines', file],
        ['goroutines', file, '--json'],
        ['goroutines', file, '--group-by', 'work'],
      ],
      ...[
        ['stacks', file],
        ['stacks', file, '--json'],
        ['summary', file],
        ['summary', file, '--json'],
        ['info', file],
      ],
      ...[
        ['info', file, '--json'],
        ['waits', file, '--json'],
        ['threads', file, '--json'],
        ['leaks', file, '--json'],
        ['query', 'SELECT * FROM goroutines', file, '--format', 'ndjson'],
      ],
    ];
    const all: string[] = [];
    for (const args of commands) all.push((await gospyHere(args)).stdout);
    return all.join('\n');
  };
  const shape = await capture();
  const shown = await outputs(shape);
  t.notMatch(shown, SECRET, 'shape is the default, and shows no string');
  for (const text of ['GET /channel/17 from', 'GET /channel/{n}', 'SELECT name FROM users WHERE id = ? AND key = ?'])
    t.ok(shown.includes(text), text);
  t.match(shown, /UPDATE t SET a = \? WHERE b IN \(\?, \.\.\.\)/, 'lists of any length make one group');
  t.match(shown, /^values {2,}shape: /m, 'info tells the level');
  const rows = 'SELECT goid, kind, text, sure, since, grouped AS "group" FROM work';
  const { stdout } = await gospyHere(['query', rows, shape, '--json']);
  const { rows: asked } = JSON.parse(stdout) as { rows: readonly Told[] };
  t.strictSame(comparable(asked), comparable(await told(shape)), 'SQL tells the same');
  const stacks = (await gospyHere(['stacks', shape])).stdout;
  const end = stacks.indexOf('\n\n');
  const lines = stacks.slice(0, end).split('\n');
  const all = await told(shape);
  const isShown = ({ goid, kind }: Told): boolean =>
    kind !== 'chan' || all.every((other) => other.goid !== goid || other.kind === 'chan');
  t.strictSame(
    lines.map((line) => line.replace(/, since .*/, '')),
    ['work:', ...all.filter(isShown).map(({ goid, kind, text }) => `  ${goid}  ${kind}: ${text}`)],
    'stacks begins with the same, but for channels beside anything else',
  );
  const tracebacks = (await gospyHere(['export', shape, '--format', 'traceback'])).stdout;
  t.equal(stacks.slice(end + 2), tracebacks, 'and goes on with nothing but stacks');
  const none = await capture('--values', 'none');
  t.ok(
    (await told(none)).every(({ kind }) => WAITS.has(kind)),
    'none keeps nothing but what goroutines wait on',
  );
  t.match(await outputs(none), /^values {2,}none: /m);
  const full = await outputs(await capture('--values', 'full'));
  for (const kept of ['planted-query', 'planted-host', 'planted-sql']) t.ok(full.includes(kept), kept);
  t.notMatch(full, /planted-(?:header|cookie|body|dsn|variable)/, 'no level has headers, bodies, DSNs or environments');
  const one = await gospyHere(['goroutines', shape, '--work', '^http-server: GET /mutex', '--ndjson']);
  t.match(one.stdout, /^\{[^\n]*\n$/, '--work selects');
  await running.kill();
});

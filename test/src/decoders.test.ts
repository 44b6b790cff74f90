import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { gcore } from '../support/cores.js';
import { dumpEmulated, requireEmulator } from '../support/emulated.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { plantedIn } from '../support/planted.js';
import { untilQuiet } from '../support/quiet.js';
import { cellName, type Cell, type Release } from '../support/releases.js';
import { DECODED_ARM64_CELLS, DECODED_CELLS, RPC_CELLS } from '../support/work-cells.js';
import { gospyHere } from './gospy-here.js';

/** A cell takes 4 to 15 seconds. */
const CELL_MS = 60_000;

t.setTimeout(CELL_MS * (DECODED_CELLS.length + RPC_CELLS.length + DECODED_ARM64_CELLS.length));

/** Fewer lines come of a program that stopped too early. */
const LEAST = 6;

interface Told {
  readonly sure: boolean;
  readonly text: string;
}

/** What is told, by `GOID KIND`. */
async function told(...args: readonly string[]): Promise<Map<string, Told>> {
  const { code, stdout, stderr } = await gospyHere(['goroutines', ...args, '--json']);
  if (code !== 0) throw new Error(stderr);
  const { goroutines } = JSON.parse(stdout) as { goroutines: GoroutineWithStack[] };
  return new Map(goroutines.flatMap(({ goid, work }) => work.map((one) => [`${goid} ${one.kind}`, one] as const)));
}

/** What a program says that its goroutines work on. */
function saidBy(stdout: string): (readonly [key: string, text: string])[] {
  return [...stdout.matchAll(/^work (\d+ \S+) (.*)$/gm)].map(([, key = '', text = '']) => [key, text]);
}

/** Without what a program does not know of itself: the order of a select's cases, the state of locks, when a timer is due. */
function plain(text: string): string {
  const [head = '', ...cases] = text.split(/(?<=^select: )|, (?=receive|send)/);
  return [head, ...cases.sort()]
    .join(', ')
    .replace(/ \((?:locked|held|free)\b.*\)$|, due .*| \(\S+ \S+ ago\)$| \(in \S+ \S+\)$/, '');
}

/** Go 1.17 does not tell which words hold arguments: texts of statements, which nothing else keeps, are not told. */
function isSilent(release: Release, key: string): boolean {
  return release === '1.17' && key.endsWith(' sql');
}

/** Behind a statement: its connection, and the state of the pool. */
const DETAILS = / \(((?:on|waits for|pool:) .*)\)$/;

/** True if it is what the program says, or less: a lock without a name, a statement without its connection or the pool. */
function isTrue(said: string, found: string): boolean {
  const [head, ...details] = parts(said);
  const [foundHead, ...foundDetails] = parts(found);
  const less = head.replace(/^(read )?main\.\S+(?= 0x)|^(read )?sync\.\S+(?= 0x)/, '$1');
  return (
    (foundHead === head || foundHead.replace(/^(read )?sync\.\S+(?= 0x)/, '$1') === less) &&
    foundDetails.every((detail) => details.includes(detail))
  );
}

function parts(text: string): [string, ...string[]] {
  return [text.replace(DETAILS, ''), ...(DETAILS.exec(text)?.[1]?.split('; ') ?? [])];
}

function check(t: Test, { release }: Cell, stdout: string, found: ReadonlyMap<string, Told>, how: string): void {
  const said = saidBy(stdout).filter(([key]) => found.has(key) || !isSilent(release, key));
  t.ok(said.length >= LEAST, `${how}: the program says enough`);
  const both = said.map(([key, text]) => ({ key, said: plain(text), found: plain(found.get(key)?.text ?? '') }));
  t.strictSame(
    both.filter((one) => !isTrue(one.said, one.found)),
    [],
    `${how}: nothing but what the program says`,
  );
  const peers = new Set(said.flatMap(([, text]) => / from (\S+)/.exec(text)?.[1] ?? []));
  const reads = [...found.values()].flatMap(
    ({ text }) => /^background read of connection from (\S+)$/.exec(text)?.[1] ?? [],
  );
  t.strictSame(
    reads.filter((peer) => !peers.has(peer)),
    [],
    `${how}: ${reads.length} background reads are of connections on which a request is served`,
  );
  const whole = both.filter((one) => one.said === one.found).length;
  t.ok(whole >= 0.9 * both.length, `${how}: ${whole} of ${both.length} in full`);
}

for (const cell of [...DECODED_CELLS, ...RPC_CELLS]) {
  t.test(`work: each kind is what the program says (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const path = await buildGo(cell);
    const running = await startGo(t, path);
    await untilQuiet(running.pid);
    check(t, cell, running.stdout, await told('--pid', String(running.pid)), 'live');
    const file = join(temporaryFolder(t), 'clone.gsp');
    const args = ['capture', '--pid', String(running.pid), '-o', file, '--mode', 'clone', '--values', 'full'];
    t.equal((await gospyHere(args)).code, 0);
    check(t, cell, running.stdout, await told(file), 'clone');
    const core = await gcore(t, running.pid);
    await running.kill();
    check(t, cell, running.stdout, await told(core, '--bin', path), 'core');
  });
}

for (const cell of DECODED_ARM64_CELLS) {
  t.test(`work: each kind is what the program says (arm64, ${cellName(cell)})`, async (t) => {
    if (!requireGo(t) || !requireEmulator(t)) return;
    const path = await buildGo(cell);
    const { core, stdout } = await dumpEmulated(t, path);
    check(t, cell, stdout, await told(core, '--bin', path), 'core');
  });
}

/** Strings that the program alone may know: in requests, statements, arguments, paths, contexts, and its environment. */
const SECRET = /planted/;

t.test('work: a snapshot of the level shape shows no string, and has none in its section of work', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo({ fixture: 'decoders', release: '1.27', link: 'stripped' }));
  await untilQuiet(running.pid);
  const file = join(temporaryFolder(t), 'shape.gsp');
  t.equal((await gospyHere(['capture', '--pid', String(running.pid), '-o', file])).code, 0);
  await running.kill();
  const all: string[] = [];
  for (const command of ['goroutines', 'stacks', 'waits', 'leaks', 'summary', 'threads', 'info'])
    for (const json of [[], ['--json']]) all.push((await gospyHere([command, file, ...json])).stdout);
  all.push((await gospyHere(['goroutines', file, '--group-by', 'work'])).stdout);
  const shown = all.join('\n');
  t.notMatch(shown, SECRET);
  for (const text of ['http-client: GET http://127.0.0.1:', '/v1/orders/17', 'UPDATE t SET a = ?', 'main.store.mu'])
    t.ok(shown.includes(text), text);
  const { work } = openSnapshot(file);
  t.notMatch(JSON.stringify([...(work?.byG ?? [])]), SECRET, 'in the section');
  t.strictSame(plantedIn(file), [], 'in the memory that it holds, but for stacks');
});

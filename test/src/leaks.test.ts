import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { captureToFile } from '../../capture/capture.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { isFree } from '../capture/targets.js';
import { crash } from '../support/cores.js';
import { eventually } from '../support/eventually.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { readByTheBook } from '../support/independent-reader.js';
import { isLeak, outcomesByEntry, printedCounts } from '../support/leak-outcomes.js';
import { untilQuiet } from '../support/quiet.js';
import { LEAKS_NAMED_CELL, type Cell } from '../support/releases.js';
import { STUCK_CELLS } from '../support/wait-cells.js';
import { gospyHere } from './gospy-here.js';
import { interruptedAt } from './gospy-process.js';

const CELL: Cell = LEAKS_NAMED_CELL;

interface Document {
  readonly proof: string | null;
  readonly groups: readonly {
    readonly verdict: string;
    readonly count: number;
    readonly goids: readonly number[];
    readonly entry: { readonly func: string };
    readonly ratePerMinute: number | null;
    readonly evidence: readonly { readonly code: string }[];
  }[];
  readonly alive: readonly {
    readonly count: number;
    readonly entry: { readonly func: string };
    readonly evidence: readonly { readonly code: string }[];
  }[];
}

/** What a capture says of a proof. */
interface Refusal {
  readonly leaks: { readonly leaked: number } | null;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
}

/** What one of the goroutines of the program is reached from first, as its source says. */
const ROOTS = [
  ['leakSend', 'unreachable', ''],
  ['liveGlobal', 'reached-from-global', 'main.globalChannel '],
  ['liveInMap', 'reached-from-global', 'main.globalMap '],
  ['liveInSyncMap', 'reached-from-global', 'main.globalSyncMap '],
  ['liveLock', 'reached-from-global', 'main.globalRecord '],
  ['liveInFinalizer', 'reached-from-finalizer', 'a finalizer'],
  ['liveBehindSleep', 'reached-from-goroutine', '(main.liveSleeper)'],
  ['liveChain', 'reached-from-goroutine', '(main.liveHoldsChain)'],
  ['liveBehindSleepingDeferred', 'reached-from-goroutine', '(main.liveSleepsDeferred)'],
  ['liveOnStack', 'reached-from-goroutine', 'goroutine 1 '],
] as const;

interface Chain {
  readonly chain: readonly { readonly leak: { readonly code: string; readonly message: string } }[];
}

/** The functions whose goroutines are listed with a verdict, with how many of them there are. */
function listed({ groups }: Document, verdict: string): Map<string, number> {
  const out = new Map<string, number>();
  for (const group of groups.filter((one) => one.verdict === verdict)) {
    const name = group.entry.func.replace('main.', '');
    out.set(name, (out.get(name) ?? 0) + group.count);
  }
  return out;
}

async function leaksOf(...args: readonly string[]): Promise<Document> {
  const { stdout } = await gospyHere(['leaks', ...args, '--json']);
  return JSON.parse(stdout) as Document;
}

/** Threads of a process that have children. */
function parents(pid: number): string[] {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).filter((tid) => readFileSync(`${tasks}/${tid}/children`, 'utf8').trim() !== '');
}

t.test('capture --leaks: the snapshot has the verdicts, and nothing of the heap', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo(CELL));
  await untilQuiet(running.pid);
  const folder = temporaryFolder(t);
  const [path, without] = [join(folder, 'leaks.gsp'), join(folder, 'without.gsp')];
  const args = ['capture', '--pid', String(running.pid), '--json', '-o'];
  const said = await gospyHere([...args, path, '--leaks']);
  t.same([said.code, said.stderr], [0, '']);
  const report = JSON.parse(said.stdout) as { mode: string; leaks: { blocked: number; leaked: number } };
  t.equal(report.mode, 'clone');
  t.same(parents(running.pid), [], 'no clone is left');
  t.equal((await gospyHere([...args, without, '--mode', 'clone'])).code, 0);
  t.ok(statSync(path).size < statSync(without).size + 8192, 'verdicts alone were added');

  const image = openSnapshot(path);
  t.teardown(() => image.close());
  const proof = image.leaks ?? null;
  if (proof === null) throw new Error('the snapshot has no proof');
  t.equal(proof.gs.length, report.leaks.blocked);
  const found = outcomesByEntry(openProgram(image), proof);
  const counts = printedCounts(running.stdout);
  for (const [name, count] of counts) {
    const leaked = (found.get(name) ?? []).filter(isLeak).length;
    t.ok(name.startsWith('live') ? leaked === 0 : leaked > 0, `${name}: ${leaked} of ${count}`);
  }
  const all = [...found.values()].flat();
  t.equal(all.filter(isLeak).length, report.leaks.leaked);
  const book = readByTheBook(readFileSync(path));
  t.same(
    book.objects.slice(0, 5),
    ['header', 'facts', 'leaks', 'work', 'memory'],
    'a reader that knows no leaks reads it',
  );
  t.equal((await gospyHere(['info', path])).code, 0);

  for (const [name, code, root] of ROOTS) {
    const goid = found.get(name)?.find((one) => isLeak(one) === (code === 'unreachable'))?.goid ?? 0;
    const waits = ['waits', path, '--goid', String(goid)];
    const { chain } = JSON.parse((await gospyHere([...waits, '--json'])).stdout) as Chain;
    t.equal(chain[0]?.leak.code, code, `what is said of ${name}`);
    t.ok(chain[0]?.leak.message.includes(root), `${name}: ${chain[0]?.leak.message}`);
    const verdict = new RegExp(`^ {4}${code === 'unreachable' ? '' : 'not '}leaked: `, 'm');
    t.match((await gospyHere(waits)).stdout, verdict);
  }

  const document = await leaksOf(path);
  t.equal(document.proof, 'marked');
  t.same(
    [...listed(document, 'proved')].sort(),
    [...found]
      .map(([name, of]) => [name, of.filter(isLeak).length] as const)
      .filter(([, n]) => n > 0)
      .sort(),
  );
  t.equal(listed(document, 'suspect').size, 0, 'a proof leaves no suspects');
  const summary = await gospyHere(['summary', path]);
  t.match(summary.stdout, new RegExp(`^Look here first: ${report.leaks.leaked} goroutines are leaked`, 'm'));
  const guessed = await leaksOf(without);
  t.equal(guessed.proof, null);
  t.same([...listed(guessed, 'proved').keys()].sort(), ['leakEmptySelect', 'leakNilReceive', 'leakNilSend']);
});

t.test('capture --leaks: a heap of which next to nothing is left is marked', async (t) => {
  if (!requireGo(t)) return;
  const args = ['-freed', '500', '-idle', '10'];
  const running = await startGo(t, await buildGo({ fixture: 'crowd', release: '1.26', link: 'stripped' }), { args });
  await untilQuiet(running.pid);
  const path = join(temporaryFolder(t), 'freed.gsp');
  const said = await captureToFile(running.pid, path, {
    mode: 'clone',
    writer: 'test',
    leaks: { maxHeapBytes: 2 ** 30 },
  });
  t.same(said.warnings, []);
  t.match(said.leaks, { leaked: 0 }, 'who waits on a global can be woken');
});

t.test('capture --leaks: what cannot be proved is said, and what is interrupted leaves nothing', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo(CELL));
  await untilQuiet(running.pid);
  const path = join(temporaryFolder(t), 'leaks.gsp');
  const small = await captureToFile(running.pid, path, { mode: 'clone', writer: 'test', leaks: { maxHeapBytes: 1 } });
  t.equal(small.leaks, null);
  t.match(small.warnings, [{ code: 'leaks-not-proved', message: /the heap has \d+ MB that may hold pointers/ }]);
  const budget = { budgetMs: 0.001, leaks: { maxHeapBytes: 2 ** 30 } };
  const refused = await captureToFile(running.pid, path, { mode: 'clone', writer: 'test', ...budget });
  t.equal(refused.mode, 'stop');
  const codes = refused.warnings.map(({ code }) => code);
  t.ok(codes.includes('leaks-not-proved') && codes.includes('clone-refused'), codes.join(' '));

  const other = join(temporaryFolder(t), 'other.gsp');
  const stop = new AbortController();
  const progress = (doing: string): void => {
    if (doing === 'marking the heap') stop.abort(new Error('enough'));
  };
  const options = { mode: 'clone', writer: 'test', leaks: { maxHeapBytes: 2 ** 30 }, progress } as const;
  await t.rejects(captureToFile(running.pid, other, { ...options, signal: stop.signal }), /enough/);
  t.notOk(existsSync(other));
  t.same(parents(running.pid), [], 'no clone is left');
  for (const mode of ['stop', 'live']) {
    const wrong = ['capture', '--pid', String(running.pid), '-o', other, '--leaks', '--mode', mode];
    t.equal((await gospyHere(wrong)).code, 2, `--mode ${mode} has no heap`);
  }
});

t.test('leaks: of a live process, the proof is made in a clone of it', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo(CELL));
  await untilQuiet(running.pid);
  const pid = ['--pid', String(running.pid)];
  const document = await leaksOf(...pid);
  t.equal(document.proof, 'marked');
  const counts = printedCounts(running.stdout);
  const proved = listed(document, 'proved');
  for (const [name, count] of counts) {
    const leaked = proved.get(name) ?? 0;
    t.ok(name.startsWith('live') ? leaked === 0 : leaked > 0, `${name}: ${leaked} of ${count}`);
  }
  t.equal(listed(document, 'suspect').size, 0);
  const stopped = await leaksOf(...pid, '--no-proof');
  t.equal(stopped.proof, null);
  t.same([...listed(stopped, 'proved').keys()].sort(), ['leakEmptySelect', 'leakNilReceive', 'leakNilSend']);

  const folder = temporaryFolder(t);
  const path = join(folder, 'leaks.gsp');
  for (const [instant, args] of [
    ['proof', ['leaks', ...pid]],
    ['proof', ['capture', ...pid, '--leaks', '-o', path]],
  ] as const) {
    const { code, stdout } = await interruptedAt(instant, 'SIGINT', args, { pid: running.pid });
    t.same([code, stdout], [130, ''], `${args[0]} is interrupted`);
    t.same(readdirSync(folder), [], 'nothing is left');
    await eventually(() => parents(running.pid).length === 0 || null, 'the end of the clone');
    t.ok(isFree(running.pid), 'nobody traces the process');
  }
  t.equal((await leaksOf(...pid)).proof, 'marked', 'the process goes on');
});

t.test('leaks: --max-heap bounds the proof', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo(CELL));
  await running.ask('heap 64');
  const path = join(temporaryFolder(t), 'leaks.gsp');
  const args = ['capture', '--pid', String(running.pid), '--leaks', '--json', '-o', path];
  const most = /the heap has (\d+) MB that may hold pointers, more than the 32 MB allowed/;
  const refused = JSON.parse((await gospyHere([...args, '--max-heap', '32'])).stdout) as Refusal;
  t.equal(refused.leaks, null);
  t.match(refused.warnings, [{ code: 'leaks-not-proved', message: most }]);
  t.ok(Number(most.exec(refused.warnings[0]?.message ?? '')?.[1]) >= 64, 'as much as the program allocated');
  const listing = await gospyHere(['leaks', '--pid', String(running.pid), '--max-heap', '32']);
  t.match(listing.stderr, most);
  const proved = JSON.parse((await gospyHere([...args, '--max-heap', '512'])).stdout) as Refusal;
  t.ok(proved.leaks !== null && proved.warnings.length === 0);
  for (const wrong of ['0', '-1', 'many', '1.5', '99999999']) {
    t.equal((await gospyHere([...args, '--max-heap', wrong])).code, 2, wrong);
  }
});

t.test('capture --core --leaks: a whole core gives the same verdicts', async (t) => {
  if (!requireGo(t)) return;
  const program = await buildGo(CELL);
  const folder = temporaryFolder(t);
  const { core } = await crash(t, program, { signal: 'SIGABRT' });
  const path = join(folder, 'core.gsp');
  const said = await gospyHere(['capture', '--core', core, '--bin', program, '-o', path, '--leaks']);
  t.equal(said.code, 0, said.stderr);
  const found = listed(await leaksOf(path), 'proved');
  t.ok(found.size >= 17, `${[...found.keys()].join(' ')} are proved`);
  t.same(
    [...found.keys()].filter((name) => !name.startsWith('leak')),
    [],
  );
  const some = await gospyHere(['goroutines', path, '--func', 'main.liveInMap', '--limit', '1', '--json']);
  const [one] = (JSON.parse(some.stdout) as { goroutines: { goid: number }[] }).goroutines;
  const waits = await gospyHere(['waits', path, '--goid', String(one?.goid)]);
  t.match(waits.stdout, /^ {4}not leaked: the global variable main\.globalMap reaches/m);
  const direct = await leaksOf(core, '--bin', program);
  t.equal(direct.proof, 'marked', 'of a core, too, the proof is made at once');
  t.same(listed(direct, 'proved'), found);
  t.equal((await leaksOf(core, '--bin', program, '--no-proof')).proof, null);
});

t.test('leaks: nobody is said to have created goroutine 1', async (t) => {
  const [cell] = STUCK_CELLS.slice(-1);
  if (cell === undefined || !requireGo(t)) return;
  const running = await startGo(t, await buildGo(cell), { args: ['forever'] });
  const { stdout } = await gospyHere(['leaks', '--pid', String(running.pid), '--no-proof']);
  t.match(stdout, /in main\.forever [^]*^ {4}goroutines 1$/m);
  t.notMatch(stdout, /created by/);
});

t.test('leaks: a group that only grows is found in snapshots in any order', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo(CELL));
  await untilQuiet(running.pid);
  const folder = temporaryFolder(t);
  const files: string[] = [];
  for (const name of ['a', 'b', 'c']) {
    const path = join(folder, `${name}.gsp`);
    files.push(path);
    const { warnings } = await captureToFile(running.pid, path, {
      mode: 'clone',
      writer: 'test',
      leaks: { maxHeapBytes: 2 ** 30 },
    });
    t.same(warnings, []);
    await running.ask('grow');
    await untilQuiet(running.pid);
  }
  const [a = '', b = '', c = ''] = files;
  const document = await leaksOf(c, a, b);
  const growing = document.groups.filter(({ verdict }) => verdict === 'growing');
  t.same(
    growing.map(({ entry, count }) => [entry.func, count]),
    [['main.liveGlobal', 40]],
  );
  t.ok((growing[0]?.ratePerMinute ?? 0) > 0);
  t.same(
    growing[0]?.evidence.map(({ code }) => code),
    ['only-grew', 'reached-from-global'],
  );
  const { alive } = await leaksOf(c);
  t.same(
    alive.map(({ count, entry, evidence }) => [count, entry.func, evidence.map(({ code }) => code)]),
    [[40, 'main.liveGlobal', ['reached-from-global']]],
    'many that are alike, and why they are not leaked',
  );
  t.match(
    (await gospyHere(['leaks', c])).stdout,
    /^NOT LEAKED [^]*^ {4}the global variable main\.globalChannel reaches what it waits on$/m,
  );
  t.equal(growing[0]?.goids.length, 40);
  t.ok(listed(document, 'proved').size >= 17, 'what is proved of the latest is listed too');
  t.match((await gospyHere(['leaks', ...files])).stdout, /^GROWING .*: 40 goroutines in 1 group$/m);

  const another = await startGo(t, await buildGo(CELL));
  await captureToFile(another.pid, b, { mode: 'stop', writer: 'test' });
  const mixed = await gospyHere(['leaks', a, b]);
  t.equal(mixed.code, 2);
  t.match(mixed.stderr, /is not of the process/);
});

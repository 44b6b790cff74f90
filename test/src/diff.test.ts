import { join } from 'node:path';
import t from 'tap';
import { eventually } from '../support/eventually.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { FLOW, type Cell } from '../support/releases.js';
import { parseSchedTraces, schedTraceEnv, type SchedTrace } from '../support/schedtrace.js';
import { gospy } from './gospy-process.js';

const folder = temporaryFolder(t);

interface Passing {
  goid: number;
  entry: { func: string };
  waitReason: string;
  at: { func: string };
}
interface Document {
  schema: string;
  relation: { kind: string; elapsedNs: number };
  goroutines: {
    before: number;
    after: number;
    started: Passing[] | null;
    ended: Passing[] | null;
    moved: { goid: number; before: Passing; after: Passing }[] | null;
    returned: number[] | null;
    parked: number[] | null;
  };
  groups: {
    key: string;
    before: number;
    after: number;
    growth: number;
    started: number | null;
    ended: number | null;
  }[];
  ps: { id: number; schedtick: number | null; syscalltick: number | null }[];
  sched: { schedtick: number | null };
  ms: { total: { before: number; after: number } };
  warnings: { code: string }[];
}

async function captured(program: GoProcess, name: string): Promise<string> {
  const path = join(folder, name);
  const { code, stderr } = await gospy(['capture', '--pid', String(program.pid), '-o', path]);
  if (code !== 0) throw new Error(stderr);
  return path;
}

async function diff(...args: string[]): Promise<Document> {
  const { code, stdout, stderr } = await gospy(['diff', ...args, '--json']);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Document;
}

/** Returns the next whole trace that the program's own scheduler begins after this call. */
async function nextTrace(program: GoProcess): Promise<SchedTrace> {
  const traces = (): SchedTrace[] => parseSchedTraces(program.stderr);
  // One may have been begun already.
  const enough = traces().length + 2;
  const later = (): SchedTrace | null => (traces().length < enough ? null : (traces().at(-1) ?? null));
  return eventually(later, 'two traces of the scheduler', () => program.stderr);
}

/** Returns the ids after the first word of an answer. */
function idsOf(answer: string): number[] {
  return answer
    .split(' ')
    .slice(1)
    .map(Number)
    .sort((a, b) => a - b);
}

const idOf = ({ goid }: { goid: number }): number => goid;
const start = async (test: Parameters<typeof startGo>[0], cell: Cell): Promise<GoProcess> =>
  startGo(test, await buildGo(cell));
/** Milliseconds between two traces of the scheduler. */
const TRACE_MS = 50;

for (const [name, cell] of [
  ['Go 1.26', FLOW.now],
  ['Go 1.15', FLOW.old],
] as const) {
  t.test(`diff: knows which goroutines started, ended, moved and stayed (${name})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo(cell), { env: schedTraceEnv(TRACE_MS) });
    const beforeA = await nextTrace(program);
    const a = await captured(program, `${cell.release}-a.gsp`);
    const afterA = await nextTrace(program);
    const started = idsOf(await program.ask('start 3'));
    const ended = idsOf(await program.ask('end 2'));
    const moved = idsOf(await program.ask('move 2'));
    const turned = idsOf(await program.ask('turn 2'));
    const beforeB = await nextTrace(program);
    const b = await captured(program, `${cell.release}-b.gsp`);
    const afterB = await nextTrace(program);
    const { relation, goroutines, groups, ps, sched, warnings } = await diff(a, b);

    t.equal(relation.kind, 'same-process');
    t.ok(relation.elapsedNs > 0);
    const gone = ended.filter((goid) => !started.includes(goid));
    const born = started.filter((goid) => !ended.includes(goid));
    const ours = (list: Passing[] | null): Passing[] =>
      (list ?? []).filter(({ entry }) => entry.func.startsWith('main.'));
    t.same(ours(goroutines.started).map(idOf), born);
    t.same(ours(goroutines.ended).map(idOf), gone);
    t.ok(ours(goroutines.started).every(({ at, waitReason }) => at.func === 'main.worker' && waitReason !== ''));
    const movers = (goroutines.moved ?? []).filter(({ goid }) => moved.includes(goid));
    t.same(movers.map(idOf), moved);
    for (const { before, after } of movers) {
      t.equal(before.at.func, 'main.mover');
      t.equal(after.at.func, 'main.arrived');
      t.equal(after.waitReason, 'select');
    }
    const resting = groups.find(({ key }) => key === 'main.rester');
    t.match(resting, { before: 5, after: 5, growth: 0, started: 0, ended: 0 });
    const parked = new Set(goroutines.parked);
    if (cell.release === '1.15') {
      t.match(warnings, [{ code: 'parked-by-place' }], 'it says that it cannot know who ran');
    } else {
      t.same(
        (goroutines.returned ?? []).filter((goid) => turned.includes(goid)),
        turned,
        'who ran and is back did not stay',
      );
      t.notOk(turned.some((goid) => parked.has(goid)));
    }
    t.notOk([...born, ...gone, ...moved].some((goid) => parked.has(goid)));
    t.equal(groups[0]?.key, 'main.worker', 'what grew most comes first');
    t.match(groups[0], { growth: born.length - gone.length, started: born.length, ended: gone.length });
    t.equal(
      sched.schedtick,
      ps.reduce((sum, { schedtick }) => sum + (schedtick ?? 0), 0),
    );
    t.equal(ps.length, afterB.ps.length);
    for (const { id, schedtick, syscalltick } of ps) {
      for (const [name, ticks] of [
        ['schedtick', schedtick],
        ['syscalltick', syscalltick],
      ] as const) {
        const [least, most] = [
          (beforeB.ps[id]?.[name] ?? NaN) - (afterA.ps[id]?.[name] ?? NaN),
          (afterB.ps[id]?.[name] ?? NaN) - (beforeA.ps[id]?.[name] ?? NaN),
        ];
        const inside = ticks !== null && ticks >= least && ticks <= most;
        t.ok(inside, `${name} of P${id} rose by ${ticks}, its own trace says ${least} to ${most}`);
      }
    }
    // Each answer of the program is a system call.
    t.ok(ps.reduce((sum, { syscalltick }) => sum + (syscalltick ?? 0), 0) >= 4, 'some rose');
  });
}

t.test('diff: lists that are long have every goroutine, in the order of their ids', async (t) => {
  if (!requireGo(t)) return;
  // More than get the innermost frame outside the runtime.
  const MANY = 12_000;
  const program = await start(t, FLOW.now);
  const a = await captured(program, 'few.gsp');
  const labelled = idsOf(await program.ask('label 2'));
  await program.ask(`crowd ${MANY}`);
  const b = await captured(program, 'crowd.gsp');
  for (const [list, args, at] of [
    ['started', [a, b], 'before'],
    ['ended', [b, a], 'after'],
  ] as const) {
    const { goroutines, groups } = await diff(...args);
    const all = goroutines[list] ?? [];
    const ids = all.map(idOf);
    t.same(
      ids,
      ids.slice().sort((x, y) => x - y),
      `${list}: by id`,
    );
    t.equal(new Set(ids).size, MANY + labelled.length);
    t.ok(
      labelled.every((goid) => ids.includes(goid)),
      'those that tell their ids are among them',
    );
    t.equal(all.filter(({ entry }) => entry.func === 'main.crowded').length, MANY);
    t.equal(all.filter((each) => each.at.func === 'main.crowded').length, 10_000 - labelled.length);
    t.ok(all.slice(10_000).every((each) => each.at.func === 'runtime.gopark'));
    t.equal(goroutines[at] + MANY + labelled.length, goroutines[at === 'before' ? 'after' : 'before']);
    const crowd = groups.find(({ key }) => key === 'main.crowded');
    t.match(crowd, { growth: at === 'before' ? MANY : -MANY, [list]: MANY });
  }
  const { stdout } = await gospy(['diff', a, b, '--limit', '0']);
  t.equal(stdout.match(/^\d+ - main\.crowded, chan receive at /gm)?.length, MANY);
});

t.test('diff: compares two builds by function names', async (t) => {
  if (!requireGo(t)) return;
  const [one, two] = [await start(t, FLOW.now), await start(t, FLOW.rebuilt)];
  await two.ask('crowd 30');
  await two.ask('end 5');
  const [a, b] = [await captured(one, 'build-a.gsp'), await captured(two, 'build-b.gsp')];
  const { relation, goroutines, groups, sched } = await diff(a, b);
  t.equal(relation.kind, 'other-build');
  t.match(goroutines, { started: null, ended: null, moved: null, parked: null });
  t.equal(sched.schedtick, null);
  t.match(groups[0], { key: 'main.crowded', before: 0, after: 30, growth: 30, started: null });
  t.match(
    groups.find(({ key }) => key === 'main.rester'),
    { before: 5, after: 5, growth: 0 },
  );
  t.match(groups.at(-1), { key: 'main.worker', before: 5, after: 0, growth: -5 });

  const stacks = await diff(a, b, '--group-by', 'stack');
  const rester = stacks.groups.filter(({ key }) => key.includes('main.rester'));
  t.match(rester, [{ before: 5, after: 5 }], 'lines that moved do not make another stack');
});

t.test('diff: two processes of one build are not taken for one', async (t) => {
  if (!requireGo(t)) return;
  const [one, two] = [await start(t, FLOW.now), await start(t, FLOW.now)];
  const { relation, goroutines } = await diff(await captured(one, 'p-a.gsp'), await captured(two, 'p-b.gsp'));
  t.equal(relation.kind, 'same-build');
  t.equal(goroutines.parked, null);
});

t.test('diff: compares with a live process, as text too', async (t) => {
  if (!requireGo(t)) return;
  const program = await start(t, FLOW.now);
  const a = await captured(program, 'live-a.gsp');
  const started = idsOf(await program.ask('start 30'));
  const { code, stdout } = await gospy(['diff', a, '--pid', String(program.pid), '--limit', '4']);
  t.equal(code, 0);
  t.match(stdout, /^The same process, .* later\.$/m);
  t.match(stdout, /^Goroutines: 30 started, 0 ended, /m);
  t.match(stdout, /^\+30 +5 +35 +30 +0 +main\.worker$/m);
  t.ok(stdout.includes(`\n${started[0] ?? ''} - main.worker, chan receive at main.worker (`));
  t.match(stdout, /^\.\.\. 26 more \(--limit 0 prints all\)$/m);
});

t.test('diff: says what is missing', async (t) => {
  const alone = await gospy(['diff', join(folder, 'none.gsp')]);
  t.equal(alone.code, 2);
  t.match(alone.stderr, /name B/);
  const absent = await gospy(['diff', join(folder, 'none.gsp'), join(folder, 'none.gsp')]);
  t.equal(absent.code, 5);
});

import t from 'tap';
import { listGoroutines } from '../../../analyze/report/goroutines.js';
import { groupGoroutines, Grouping, nameKey, type GroupBy } from '../../../analyze/report/groups.js';
import type { Goroutine, GoroutineWithStack, Loc } from '../../../analyze/report/model.js';
import { goroutineWith, openSample, placeOf } from './samples.js';

const program = openSample(t, 'labels.gsp');
const anyG = firstOf(program.goroutines());

/** Groups made-up goroutines; nothing is read of the program. */
function grouped(by: GroupBy, goroutines: readonly Goroutine[]): ReturnType<Grouping['groups']> {
  const grouping = new Grouping(program, by);
  for (const goroutine of goroutines) grouping.add(anyG, goroutine);
  return grouping.groups();
}

function firstOf<T>(items: Iterable<T>): T {
  for (const item of items) return item;
  throw new Error('the sample has no goroutines');
}

/** Counts by a text that is made of each goroutine of the sample. */
function countBy(key: (g: GoroutineWithStack) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const g of listGoroutines(program, 'stack')) counts[key(g)] = (counts[key(g)] ?? 0) + 1;
  return counts;
}

const place = (loc: Loc | null): string => (loc === null ? '(none)' : `${loc.func} (${loc.file}:${loc.line})`);

const KEYS: readonly [GroupBy, (g: GoroutineWithStack) => string][] = [
  [{ kind: 'start' }, (g) => place(g.entry)],
  [{ kind: 'caller' }, (g) => place(g.creator)],
  [{ kind: 'current' }, (g) => place(g.current)],
  [{ kind: 'user' }, (g) => place(g.user)],
  [{ kind: 'wait' }, (g) => g.waitReason ?? g.status],
  [{ kind: 'status' }, (g) => g.status],
  [{ kind: 'label', key: 'queue' }, (g) => g.labels['queue'] ?? '(none)'],
  [{ kind: 'stack' }, (g) => g.frames.map(({ func, file, line }) => `${func} ${file}:${line}`).join('\n')],
];

for (const [by, keyOf] of KEYS) {
  t.test(`groups: by ${by.kind}, as the goroutines one by one have it`, (t) => {
    const { value: groups, warnings } = groupGoroutines(program, by);
    t.same(Object.fromEntries(groups.map(({ key, count }) => [key, count])), countBy(keyOf));
    t.same(
      groups.map(({ count }) => count),
      groups.map(({ count }) => count).sort((a, b) => b - a),
      'the largest first',
    );
    t.same(warnings, []);
    t.end();
  });
}

t.test('groups: only selected goroutines count', (t) => {
  const { value: groups } = groupGoroutines(program, { kind: 'status' }, { statuses: ['waiting'] });
  t.match(groups, [{ key: 'waiting', count: countBy((g) => g.status)['waiting'] }]);
  t.end();
});

t.test('groups: the ten lowest ids, ascending, in whatever order goroutines come', (t) => {
  const goids = Array.from({ length: 2500 }, (_, i) => ((i * 7919) % 2500) + 1);
  const [group] = grouped(
    { kind: 'wait' },
    goids.map((goid) => goroutineWith({ goid })),
  );
  t.match(group, { count: 2500, key: 'chan receive', goids: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] });
  t.end();
});

t.test('groups: the shortest and the longest known wait, and none where none is known', (t) => {
  const waits = [5e9, null, 2e9, 9e9];
  const [known] = grouped(
    { kind: 'wait' },
    waits.map((waitSinceNs, i) => goroutineWith({ goid: i + 1, waitSinceNs })),
  );
  t.match(known, { minWaitNs: 2e9, maxWaitNs: 9e9 });
  const [unknown] = grouped({ kind: 'wait' }, [goroutineWith({ goid: 1 })]);
  t.match(unknown, { minWaitNs: null, maxWaitNs: null });
  t.end();
});

t.test('groups: statuses are counted, and a wait reason is shared by all or by none', (t) => {
  const entry = placeOf('main.worker');
  const running = goroutineWith({ goid: 3, entry, status: 'running', waitReason: null });
  const same = [1, 2].map((goid) => goroutineWith({ goid, entry }));
  t.match(grouped({ kind: 'start' }, same), [{ status: { waiting: 2 }, waitReason: 'chan receive', loc: entry }]);
  const [mixed] = grouped({ kind: 'start' }, [...same, running]);
  t.same(mixed?.status, { waiting: 2, running: 1 });
  t.equal(mixed?.waitReason, null);
  t.end();
});

t.test('groups: of one size, the one with the lowest id comes first', (t) => {
  const all = [9, 4, 7, 2].map((goid) => goroutineWith({ goid, waitReason: goid % 2 === 0 ? 'select' : 'sleep' }));
  t.same(
    grouped({ kind: 'wait' }, all).map(({ key }) => key),
    ['select', 'sleep'],
  );
  t.end();
});

t.test('groups: names of groups leave lines and files out', (t) => {
  const keyOf = nameKey(program, { kind: 'start' });
  const keys = [placeOf('main.a', 1), placeOf('main.a', 2), null].map((entry, i) =>
    keyOf(anyG, goroutineWith({ goid: i + 1, entry })),
  );
  t.same(keys, ['main.a', 'main.a', '(none)']);
  t.end();
});

import t from 'tap';
import type { Group } from '../../../analyze/report/groups.js';
import { delta, NO_HISTORY, ratePerSecond, addSample, type History } from '../../../src/tui/history.js';

const group = (key: string, count: number): Group => ({
  ...{ key, count, runtime: 1, goids: [], status: {}, waitReason: null, minWaitNs: null, maxWaitNs: null },
});

/** A history of one sample a second, with the given counts of each group; absent groups are empty. */
function history(samples: readonly Readonly<Record<string, number>>[]): History {
  return samples.reduce<History>(
    (before, counts, second) =>
      addSample(
        before,
        second * 1000,
        Object.entries(counts).map(([key, count]) => group(key, count)),
      ),
    NO_HISTORY,
  );
}

const of = (all: History, key: string): NonNullable<ReturnType<History['groups']['get']>> => {
  const series = all.groups.get(key);
  if (series === undefined) throw new Error(`no group ${key}`);
  return series;
};

t.test('history: growth counts from the first sample; a group that came later began with none', (t) => {
  const all = history([{ a: 5 }, { a: 7, b: 3 }, { a: 4, b: 9 }]);
  t.equal(delta(of(all, 'a')), -1);
  t.equal(delta(of(all, 'b')), 9);
  t.same(of(all, 'b').counts, [0, 3, 9]);
  t.equal(delta(all.total), 8);
  t.equal(delta(of(history([{ a: 5 }]), 'a')), 0);
  t.end();
});

t.test('history: a rate is taken over the last five seconds', (t) => {
  t.equal(ratePerSecond(history([{ a: 5 }]), of(history([{ a: 5 }]), 'a')), null, 'a single sample has none');
  const steady = history(Array.from({ length: 20 }, (_, i) => ({ a: 100 * i, b: i < 10 ? 50 * i : 500 })));
  t.equal(ratePerSecond(steady, of(steady, 'a')), 100);
  t.equal(ratePerSecond(steady, of(steady, 'b')), 0, 'earlier growth does not count');
  const fresh = history([{ a: 1 }, { a: 1 }, { a: 1, b: 10 }]);
  t.equal(ratePerSecond(fresh, of(fresh, 'b')), 5, 'a new group grew from nothing');
  t.end();
});

t.test('history: samples may be far apart', (t) => {
  const slow = addSample(addSample(NO_HISTORY, 0, [group('a', 0)]), 60_000, [group('a', 60)]);
  t.equal(ratePerSecond(slow, of(slow, 'a')), 1);
  t.end();
});

t.test('history: a group that became empty is shown for a while', (t) => {
  const gone = history([{ a: 5, b: 1 }, { b: 1 }]);
  t.match(gone.ended.get('a'), { count: 0 });
  t.equal(delta(of(gone, 'a')), -5);
  const long = history([{ a: 5, b: 1 }, ...Array.from({ length: 30 }, () => ({ b: 1 }))]);
  t.equal(long.ended.has('a'), false);
  t.equal(long.groups.has('a'), false);
  const back = history([{ a: 5 }, {}, { a: 2 }]);
  t.equal(back.ended.size, 0);
  t.equal(delta(of(back, 'a')), -3);
  t.end();
});

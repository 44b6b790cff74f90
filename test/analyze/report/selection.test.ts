import t from 'tap';
import { listGoroutines, type Detail } from '../../../analyze/report/goroutines.js';
import { compareBy, matcher, type Selection } from '../../../analyze/report/selection.js';
import { goroutineWith, openSample, placeOf } from './samples.js';

const all = [
  goroutineWith({ goid: 1, status: 'running', waitReason: null, entry: placeOf('main.b') }),
  goroutineWith({ goid: 2, waitSinceNs: 5e9, labels: { user: 'ann', job: '1' }, entry: placeOf('main.c') }),
  goroutineWith({ goid: 3, waitReason: 'select', waitSinceNs: 9e9, labels: { user: 'bob' }, entry: null }),
  goroutineWith({ goid: 4, waitReason: 'GC sweep wait', system: true, entry: placeOf('main.a') }),
];

function selected(selection: Selection): number[] {
  return all.filter(matcher(selection)).map(({ goid }) => goid);
}

t.test('selection: each condition by itself', (t) => {
  t.same(selected({}), [1, 2, 3, 4]);
  t.same(selected({ statuses: ['running', 'idle'] }), [1]);
  t.same(selected({ goids: [4, 2, 77] }), [2, 4]);
  t.same(selected({ waitReason: 'select' }), [3]);
  t.same(selected({ waitReason: 'sel' }), [], 'the words must be complete');
  t.same(selected({ minWaitNs: 5e9 }), [2, 3], 'a wait that is not known is not long');
  t.same(selected({ labels: { user: 'ann' } }), [2]);
  t.same(selected({ labels: { user: 'ann', job: '2' } }), []);
  t.same(selected({ labels: { toString: 'ann' } }), [], 'only own labels');
  t.same(selected({ noSystem: true }), [1, 2, 3]);
  t.end();
});

t.test('selection: all conditions must hold', (t) => {
  t.same(selected({ statuses: ['waiting'], minWaitNs: 6e9, noSystem: true }), [3]);
  t.same(selected({ statuses: ['running'], minWaitNs: 6e9 }), []);
  t.end();
});

t.test('selection: orders', (t) => {
  const sorted = (by: Parameters<typeof compareBy>[0]): number[] =>
    [...all]
      .reverse()
      .sort(compareBy(by))
      .map(({ goid }) => goid);
  t.same(sorted('goid'), [1, 2, 3, 4]);
  t.same(sorted('wait'), [3, 2, 1, 4], 'the longest first');
  t.same(sorted('status'), [1, 4, 2, 3], 'and the wait reason within a status');
  t.same(sorted('func'), [3, 4, 1, 2]);
  t.end();
});

t.test('selection: by function, whatever is asked of the goroutines', (t) => {
  const program = openSample(t, 'queue.gsp');
  const expected = [...listGoroutines(program, 'stack')].flatMap(({ goid, frames }) =>
    frames.some(({ func }) => func.includes('stats')) ? [goid] : [],
  );
  t.ok(expected.length > 0);
  const query = { selection: { func: /stats/ } };
  for (const detail of ['plain', 'located', 'stack'] satisfies Detail[]) {
    t.same(
      [...listGoroutines(program, detail, query)].map(({ goid }) => goid),
      expected,
      detail,
    );
  }
  const tracebacks = [...listGoroutines(program, 'traceback', query)];
  t.same(
    tracebacks.map(({ goroutine }) => goroutine.goid),
    expected,
  );
  t.end();
});

t.test('selection: goroutines in an order of their own', (t) => {
  const program = openSample(t, 'labels.gsp');
  const longest = [...listGoroutines(program, 'plain', { sort: 'wait' })].map(({ waitSinceNs }) => waitSinceNs ?? -1);
  t.same(
    longest,
    longest.toSorted((a, b) => b - a),
  );
  t.ok((longest[0] ?? -1) > 0);
  t.end();
});

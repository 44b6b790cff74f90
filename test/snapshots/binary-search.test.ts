import t from 'tap';
import { firstAbove, firstIndex } from '../../snapshots/binary-search.js';
import { random } from '../support/gsp.js';

t.test('binary search: finds what a linear search finds, in lists of any length', (t) => {
  const next = random(3);
  for (let length = 0; length < 40; length++) {
    const ascending = Float64Array.from({ length }, () => next(30)).sort();
    for (let limit = -1; limit <= 30; limit++) {
      const found = ascending.findIndex((value) => value > limit);
      const expected = found < 0 ? length : found;
      const results = [firstAbove(ascending, limit), firstIndex(length, (i) => (ascending[i] ?? 0) > limit)];
      if (results.some((result) => result !== expected)) t.fail(`${length} values, ${limit}: ${results.join()}`);
    }
  }
  t.equal(firstAbove(Float64Array.of(2 ** 52, 2 ** 52 + 1), 2 ** 52), 1, 'exact for large addresses');
  t.end();
});

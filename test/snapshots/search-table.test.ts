import t from 'tap';
import { SearchTable } from '../../snapshots/search-table.js';
import { random } from '../support/gsp.js';

/** Numbers around some centres, as memory of several kinds has them. */
function scattered(
  next: (below: number) => number,
  centres: readonly number[],
  count: number,
  width: number,
): Float64Array {
  const values = Array.from({ length: count }, () => {
    const centre = centres[next(centres.length)] ?? 0;
    return centre + Math.min(next(width), next(width), next(width));
  });
  return Float64Array.from(values).sort();
}

function isRight(ascending: Float64Array): boolean {
  const table = new SearchTable(ascending);
  const near = [...ascending].flatMap((value) => [value - 1, value, value + 1, value + 2 ** 31]);
  return [-1, 0, 2 ** 47, Infinity, ...near].every((limit) => {
    const first = ascending.findIndex((value) => value > limit);
    return table.firstAbove(limit) === (first < 0 ? ascending.length : first);
  });
}

t.test('search table: finds the same as looking at each number in turn', (t) => {
  const next = random(1);
  const [data, heap, stacks] = [0x5a_0000, 0xc0_0000_0000, 0x7fff_0000_0000];
  t.ok(isRight(new Float64Array(0)), 'none');
  t.ok(isRight(Float64Array.of(heap)), 'one');
  t.ok(isRight(new Float64Array(100).fill(heap)), 'equal ones');
  t.ok(isRight(Float64Array.of(0, 2 ** 53 - 1)), 'the ends of what numbers hold');
  for (let i = 0; i < 40; i++) {
    const width = 10 ** (1 + (i % 9));
    t.ok(isRight(scattered(next, [data, heap, stacks], 300, width)), `areas ${width} wide`);
    const many = Array.from({ length: 1 + (i % 20) }, () => next(2 ** 31) * 2 ** 16);
    t.ok(isRight(scattered(next, many, 200, width)), `${many.length} areas`);
  }
  t.end();
});

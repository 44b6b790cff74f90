import t from 'tap';
import { ascending, ascendingOrder } from '../../snapshots/ascending-order.js';

/** What Array.prototype.sort, which is stable, makes of the same keys. */
function sorted(keys: readonly number[]): number[] {
  return keys.map((_, i) => i).sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0));
}

t.test('an order: that of a stable sort', (t) => {
  let state = 1;
  const random = (): number => (state = (state * 48271) % 0x7fffffff) / 0x7fffffff;
  const lists: Record<string, number[]> = {
    none: [],
    one: [7],
    'in order': [1, 2, 2, 3, 2 ** 53],
    descending: [2 ** 53 - 1, 2 ** 32, 2 ** 32 - 1, 1, 0],
    equal: [5, 5, 5, 4, 5, 4],
    'words that are no addresses': [2 ** 64, 2 ** 63, 1, 2 ** 64, 0],
    ids: Array.from({ length: 5000 }, (_, i) => i + Math.floor(random() * 40)),
    addresses: Array.from({ length: 5000 }, () => 0xc000000000 + 8 * Math.floor(random() * 2 ** 34)),
    'any words': Array.from({ length: 5000 }, () => Math.floor(random() * 2 ** 31) * 2 ** 33),
  };
  for (const [name, keys] of Object.entries(lists)) {
    t.same([...ascendingOrder(Float64Array.from(keys))], sorted(keys), name);
    t.same(
      [...ascending(Float64Array.from(keys))],
      [...keys].sort((a, b) => a - b),
      name,
    );
  }
  t.end();
});

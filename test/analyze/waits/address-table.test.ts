import t from 'tap';
import { AddressTable, NONE } from '../../../analyze/waits/address-table.js';
import { random } from '../../support/gsp.js';

t.test('address table: has what a Map has, whatever the addresses are', (t) => {
  const next = random(7);
  const spreads: Readonly<Record<string, (i: number) => number>> = {
    'side by side': (i) => 0xc000000000 + 8 * i,
    'pages apart': (i) => 0xc000000000 + 8192 * i,
    'in damaged memory': () => 1 + next(2 ** 26) * next(2 ** 26),
    'often the same': () => 0xc000000000 + 8 * next(100),
    'far apart': (i) => 0xc000000000 + 2 ** 35 * i,
  };
  for (const [what, address] of Object.entries(spreads)) {
    const [table, map] = [new AddressTable(), new Map<number, number>()];
    for (let i = 0; i < 5000; i++) {
      const addr = address(i);
      table.set(addr, i);
      map.set(addr, i);
    }
    t.ok(
      [...map].every(([addr, i]) => table.get(addr) === i),
      what,
    );
    t.ok(
      [...map.keys()].every((addr) => map.has(addr + 4) || table.get(addr + 4) === NONE),
      `${what}: nothing beside them`,
    );
    t.equal(table.get(0), NONE);
  }
  t.end();
});

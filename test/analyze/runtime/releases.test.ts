import t from 'tap';
import table from '../../../analyze/runtime/layouts.json' with { type: 'json' };
import { KNOWN_RELEASES, NEWEST, OLDEST, RELEASES, releaseOf } from '../../../analyze/runtime/releases.js';
import { RELEASES as TESTED } from '../../support/releases.js';

t.test('releases: a record holds up to the next one, the last also for what comes after it', (t) => {
  const since = (minor: number): number => releaseOf({ minor }).since;
  t.same([11, 12, 13, 18, 19, 20, 21, 22].map(since), [12, 12, 13, 18, 19, 20, 21, 22]);
  t.equal(since(99), RELEASES.at(-1)?.since);
  const order = RELEASES.map((release) => release.since);
  t.same(
    order,
    [...new Set(order)].sort((a, b) => a - b),
  );
  t.end();
});

t.test('releases: all structs are known from the oldest release to the newest', (t) => {
  for (const [struct, entries] of Object.entries(table)) {
    t.equal(entries[0]?.from, OLDEST.text, struct);
    t.equal(entries.at(-1)?.to, NEWEST.text, struct);
  }
  const minors = Object.keys(TESTED);
  t.equal(KNOWN_RELEASES, `Go ${minors[0] ?? ''} to ${minors.at(-1) ?? ''}`, 'as far as the tests go');
  t.end();
});

import t from 'tap';
import type { Addr } from '../../../snapshots/address.js';
import { enderListText } from '../../../analyze/report/ender-texts.js';
import type { Ender } from '../../../analyze/waits/wait-graph.js';

const GROUP = { kind: 'waitgroup', addr: 0xc000 as Addr, op: null, counter: 9 } as const;
const NAMED = {
  goidOf: (index: number) => 100 - index,
  funcOf: (index: number) => (index < 20 ? 'a.f' : `a.g${index}`),
};

function ender(goroutine: number, message = 'it calls Done'): Ender {
  return { goroutine, strength: 'probable', evidence: [{ code: 'refers-and-done', message }] };
}

t.test('enders of whom the same is said are named together', (t) => {
  const text = (enders: readonly Ender[]): string => enderListText(GROUP, 'all', enders, NAMED);
  t.equal(text([ender(1)]), 'its Done probably due from 99 in a.f: it calls Done');
  t.equal(text([ender(1), ender(2)]), 'its Done probably due from 98, 99 in a.f: it calls Done');
  t.equal(
    text(Array.from({ length: 9 }, (_, i) => ender(i))),
    'its Done probably due from 93, 94, 95, 96, 97, 98, 99, 100 in a.f: it calls Done; and 1 other',
  );
  t.equal(
    text([...Array.from({ length: 5 }, (_, i) => ender(i)), ender(30, 'it has Done ahead')]),
    'its Done probably due from 98, 99, 100 in a.f: it calls Done; ' +
      'its Done probably due from 70 in a.g30: it has Done ahead; and 2 others',
  );
  t.equal(
    text([30, 31, 32, 33].map((i) => ender(i)))
      .split('; ')
      .at(-1),
    'and 1 other',
  );
  t.end();
});

t.test('enders of a wait on a Cond hold the lock that it is part of, or may signal', (t) => {
  const cond = { kind: 'cond', addr: 0xc000 as Addr, op: 'wait' } as const;
  const holder = ender(1, 'Unlock of gate deferred in a.f');
  t.equal(
    enderListText(cond, 'holder', [holder], NAMED),
    'its lock probably held by 99 in a.f: Unlock of gate deferred in a.f',
  );
  t.equal(
    enderListText(cond, 'any', [{ ...holder, strength: 'candidate' }], NAMED),
    'may be signalled by 99 in a.f: Unlock of gate deferred in a.f',
  );
  t.end();
});

import t from 'tap';
import { untilCompiled } from '../../capture/ptrace/optimize.js';

t.test('a stop waits for threads that compile: until none runs at two looks in a row', (t) => {
  const looks = [true, false, true, false, false, true];
  untilCompiled(() => looks.shift() ?? false);
  t.same(looks, [true]);
  t.end();
});

t.test('a stop does not wait for threads that never rest', (t) => {
  let looks = 0;
  untilCompiled(() => ++looks > 0);
  t.ok(looks > 0);
  t.end();
});

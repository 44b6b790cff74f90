import t from 'tap';
import { nobodyText, waitText } from '../../../analyze/report/wait-texts.js';
import type { WaitsOn } from '../../../analyze/waits/model.js';

t.test('wait texts: when a sleep ends', (t) => {
  const sleep = (dueNs: number): string => waitText({ kind: 'sleep', addr: null, op: null, dueNs });
  t.equal(sleep(-5e6), 'sleeps, due now');
  t.equal(sleep(300), 'sleeps, due in 1 ms');
  t.equal(sleep(20e6), 'sleeps, due in 20 ms');
  t.equal(sleep(3.2e9), 'sleeps, due in 3.2 s');
  t.end();
});

t.test('wait texts: nobody is missed for a WaitGroup of which all is done', (t) => {
  const group = (counter: number): WaitsOn => ({ kind: 'waitgroup', addr: null, op: null, counter });
  t.match(nobodyText(group(1), null), /no goroutine found/);
  t.match(nobodyText(group(0), null), /about to go on/);
  t.end();
});

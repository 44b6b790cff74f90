import t from 'tap';
import { printRunning, type PrintedGoroutine } from '../../../analyze/report/print.js';
import { printedText } from '../../../src/render/print.js';

const LOOK: PrintedGoroutine = {
  ...{ goid: 7, runtime: 1, status: 'syscall', waitReason: null, truncated: null, torn: false },
  frames: [],
};
const QUERY = { frame: null, argument: null, as: null, depth: 1, elements: 1 };

t.test('print: a goroutine that runs while it is read is said to be torn', (t) => {
  let looks = 0;
  const printed = printRunning(() => ({ ...LOOK, truncated: `look ${looks++}` }));
  t.equal(printed?.torn, true);
  t.match(printedText(printed ?? LOOK, QUERY), /^goroutine 7 \[syscall\]\nIt ran while it was read: /);
  t.end();
});

t.test('print: one that two looks in a row show the same is not', (t) => {
  let looks = 0;
  const printed = printRunning(() => ({ ...LOOK, truncated: looks++ === 0 ? 'once' : null }));
  t.same(printed, LOOK);
  t.notMatch(printedText(printed ?? LOOK, QUERY), /It ran/);
  t.end();
});

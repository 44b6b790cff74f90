import t from 'tap';
import { NO_DEBUG_INFO, Layouts } from '../../../analyze/runtime/layouts.js';
import { GlobalChecks } from '../../../analyze/runtime/global-checks.js';
import type { Addr } from '../../../snapshots/address.js';
import { Memory, SegmentSource } from '../../../snapshots/memory.js';

const BASE = 0x10000;
const G_BYTES = 0x400;
const LAYOUTS = new Layouts({ text: '1.26.0', minor: 26, patch: 0 }, NO_DEBUG_INFO);

/** A slice header at BASE and its elements: gs with these ids, each of which names itself in g.sched.g. */
function sliceOf(goids: readonly number[]): Memory {
  const bytes = new Uint8Array(0x1000 + G_BYTES * goids.length);
  const view = new DataView(bytes.buffer);
  const g = LAYOUTS.of('g');
  const word = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  word(0, BASE + 0x100);
  word(8, goids.length);
  word(16, goids.length);
  for (const [i, goid] of goids.entries()) {
    const at = 0x1000 + G_BYTES * i;
    word(0x100 + 8 * i, BASE + at);
    word(at + g.offset('sched') + LAYOUTS.of('gobuf').offset('g'), BASE + at);
    word(at + g.offset('goid'), goid);
    view.setUint32(at + g.offset('atomicstatus'), 4, true);
  }
  return new Memory(new SegmentSource([{ addr: BASE as Addr, bytes }]));
}

t.test('global checks: a slice of goroutines is allgs', (t) => {
  t.equal(new GlobalChecks(sliceOf([1, 2, 17]), LAYOUTS).allgs(BASE as Addr), 3);
  t.end();
});

t.test('global checks: a slice of g0s, which have no id, is not allgs', (t) => {
  t.equal(new GlobalChecks(sliceOf([0, 0]), LAYOUTS).allgs(BASE as Addr), 0);
  t.equal(new GlobalChecks(sliceOf([0]), LAYOUTS).allgs(BASE as Addr), 0);
  t.end();
});

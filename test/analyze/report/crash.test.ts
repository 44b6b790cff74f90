import t from 'tap';
import type { GoProgram } from '../../../analyze/program.js';
import { crashOf } from '../../../analyze/report/crash.js';
import { plus, type Addr } from '../../../snapshots/address.js';
import { withWord, without } from '../../support/altered-memory.js';
import { openSample } from './samples.js';

const program = openSample(t, 'queue.gsp');
const { layouts, machines } = program;
const [g] = [...program.goroutines()].filter(({ goid }) => goid === 7);
const [first, second] = machines.filter((m) => program.threadOf(m) !== null);
if (g === undefined || first === undefined || second === undefined) throw new Error('the sample lacks what is tested');
const tidOf = (m: typeof first): number => program.threadOf(m)?.tid ?? 0;

/** SIGABRT, which raise() sent to the thread of the first M. */
const signal = { number: 6, code: -6, addr: null, tid: tidOf(first) };
const aborted = { runtime: 1, signal: 'SIGABRT', code: -6, addr: null, sender: null, endedBy: 'SIGABRT' };

/** The sample, ended by {@link signal}, with other words in some fields of Ms and of goroutine 7. */
function crashed(...words: readonly [of: 'm' | 'g', at: Addr, field: string, value: number][]): GoProgram {
  let { memory } = program.image;
  for (const [struct, at, field, value] of words) {
    memory = withWord(memory, plus(at, layouts.of(struct).offset(field)), value);
  }
  return program.over({ memory, signal });
}

t.test('crash: none of a program that was alive', (t) => {
  t.equal(crashOf(program), null);
  t.end();
});

t.test('crash: of a thread that ran no goroutine, in the runtime itself', (t) => {
  t.same(crashOf(crashed(['m', first.addr, 'curg', 0])), { ...aborted, goid: null, tid: tidOf(first) });
  t.end();
});

t.test('crash: of the goroutine on the thread that the signal ended', (t) => {
  t.same(crashOf(crashed(['m', first.addr, 'curg', g.addr])), { ...aborted, goid: 7, tid: tidOf(first) });
  t.end();
});

t.test('crash: of the M that is dying, whichever thread ended the process', (t) => {
  const program = crashed(['m', second.addr, 'curg', g.addr], ['m', second.addr, 'dying', 1]);
  t.same(crashOf(program), { ...aborted, goid: 7, tid: tidOf(second) });
  t.end();
});

t.test('crash: of the goroutine that a signal handler interrupted', (t) => {
  const program = crashed(['m', first.addr, 'curg', 0], ['m', first.addr, 'caughtsig', g.addr]);
  t.match(crashOf(program), { goid: 7 });
  const onSystemStack = crashed(['m', first.addr, 'curg', 0], ['m', first.addr, 'caughtsig', first.g0]);
  t.match(crashOf(onSystemStack), { goid: null });
  t.end();
});

t.test('crash: by the fault that the runtime made a panic of', (t) => {
  const program = crashed(
    ['m', first.addr, 'curg', g.addr],
    ['g', g.addr, 'sig', 11],
    ['g', g.addr, 'sigcode0', 1],
    ['g', g.addr, 'sigcode1', 0xdead],
  );
  const fault = { signal: 'SIGSEGV', code: 1, addr: '0xdead', sender: null, endedBy: 'SIGABRT' };
  t.same(crashOf(program), { ...fault, goid: 7, tid: tidOf(first), runtime: 1 });
  t.end();
});

t.test('crash: of a goroutine whose record is absent', (t) => {
  const { memory } = crashed(['m', first.addr, 'curg', g.addr]).image;
  const absent = without(memory, { lo: g.addr, hi: plus(g.addr, layouts.of('g').sizeBytes) });
  t.same(crashOf(program.over({ memory: absent, signal })), { ...aborted, goid: null, tid: tidOf(first) });
  t.end();
});

import t from 'tap';
import { GoProgram } from '../../../analyze/program.js';
import { FindingsCollector } from '../../../analyze/report/findings.js';
import type { Finding, Goroutine, Processor, Scheduler } from '../../../analyze/report/model.js';
import type { G } from '../../../analyze/runtime/goroutine.js';
import { goroutineWith, openSample, placeOf } from './samples.js';

const program = openSample(t, 'queue.gsp');
const worker = [...program.goroutines()].find(({ goid }) => goid === 7);
const other = [...program.goroutines()].find(({ goid }) => goid === 1);
if (worker === undefined || other === undefined) throw new Error('the sample lacks goroutines 1 and 7');

/** The sample, with goroutines that stand where a few of its own do. */
class Crowded extends GoProgram {
  readonly #crowd: readonly G[];

  constructor(crowd: readonly G[]) {
    super(program.image, program.found, program.index);
    this.#crowd = crowd;
  }

  override *goroutinesWith(goids: ReadonlySet<number>): Iterable<G> {
    for (const g of this.#crowd) if (goids.has(g.goid)) yield g;
  }
}

const QUIET: Scheduler = {
  ps: [],
  sched: { runqsize: 0, nmidle: 0, npidle: 1, nmspinning: 0, gcwaiting: false, gcPhase: 'off' },
};

function p(changes: Partial<Processor>): Processor {
  const p: Processor = {
    ...{
      id: 0,
      runtime: 1,
      status: 'running',
      schedtick: 1,
      syscalltick: 1,
      m: 0,
      runqsize: 0,
      sinceScheduledNs: null,
    },
    ...changes,
  };
  return p;
}

/** Goroutines with ids from 1 on, alike but for what `changes` says. */
function alike(count: number, changes: Partial<Goroutine> = {}, from = 1): Goroutine[] {
  return Array.from({ length: count }, (_, i) => goroutineWith({ goid: from + i, waitReason: 'IO wait', ...changes }));
}

function findings(goroutines: readonly Goroutine[], scheduler = QUIET, on: GoProgram = program): Finding[] {
  const collector = new FindingsCollector();
  for (const goroutine of goroutines) collector.add(goroutine);
  return collector.findings(on, scheduler);
}

function codes(found: readonly Finding[]): string[] {
  return found.map(({ code }) => code);
}

t.test('findings: a thousand goroutines with equal stacks, but not one less', (t) => {
  const crowd = new Crowded(Array.from({ length: 1000 }, (_, i) => ({ ...worker, goid: i + 1 })));
  const [found] = findings(alike(1000), QUIET, crowd);
  t.match(found, { code: 'equal-stacks', count: 1000 });
  t.equal(new Set(found?.goids).size, 10);
  t.same(
    found?.goids,
    found?.goids.toSorted((a, b) => a - b),
  );
  t.match(found?.message, /^1000 of 1000 goroutines were started as main\.worker and are alike: IO wait, at main\./);
  t.same(codes(findings(alike(999), QUIET, crowd)), []);
  t.end();
});

t.test('findings: a thousand goroutines that are half of all, but not less', (t) => {
  const crowd = new Crowded(Array.from({ length: 1000 }, (_, i) => ({ ...worker, goid: i + 1 })));
  const others = (count: number): Goroutine[] =>
    Array.from({ length: count }, (_, i) => goroutineWith({ goid: 2000 + i, entry: placeOf(`main.other${i}`) }));
  t.same(codes(findings([...alike(1000), ...others(1000)], QUIET, crowd)), ['equal-stacks']);
  t.same(codes(findings([...alike(1000), ...others(1001)], QUIET, crowd)), ['shared-wait']);
  t.end();
});

t.test('findings: one stack that differs in the sample, and goroutines are not alike', (t) => {
  const crowd = Array.from({ length: 1000 }, (_, i) => ({ ...(i === 20 ? other : worker), goid: i + 1 }));
  t.same(codes(findings(alike(1000), QUIET, new Crowded(crowd))), []);
  t.end();
});

t.test('findings: a wait that more than half of a hundred goroutines share', (t) => {
  const waiting = (count: number): Goroutine[] => alike(count, { waitReason: 'chan send' });
  const [found] = findings([...waiting(51), ...alike(49, {}, 100)]);
  const message = '51 of 100 goroutines wait for the same reason: chan send';
  t.match(found, { code: 'shared-wait', count: 51 });
  t.equal(found?.message, `${message}, all of them started as main.worker`);
  const elsewhere = (n: number): Goroutine[] =>
    alike(n, { waitReason: 'chan send', entry: placeOf('main.other') }, 200);
  const told = (some: number): string | undefined =>
    findings([...waiting(some), ...elsewhere(51 - some), ...alike(49, {}, 300)])[0]?.message;
  t.equal(told(26), `${message}, 26 of them started as main.worker`);
  t.equal(told(25), `${message}, 26 of them started as main.other`);
  const scattered = Array.from({ length: 51 }, (_, i) =>
    goroutineWith({ goid: i + 1, waitReason: 'chan send', entry: placeOf(`main.other${i}`) }),
  );
  t.equal(findings([...scattered, ...alike(49, {}, 100)])[0]?.message, message, 'at many places');
  t.same(codes(findings([...waiting(50), ...alike(50, {}, 100)])), [], 'half');
  t.same(codes(findings(waiting(99))), [], 'too few');
  t.same(codes(findings(alike(200))), [], 'idle connections');
  t.same(codes(findings(alike(200, { waitReason: 'chan send', system: true }))), [], "the runtime's own");
  t.end();
});

t.test('findings: all Ps in system calls', (t) => {
  const syscall = p({ status: 'syscall' });
  t.match(findings([], { ...QUIET, ps: [syscall, syscall] }), [{ code: 'all-in-syscalls', count: 2 }]);
  t.same(codes(findings([], { ...QUIET, ps: [syscall, p({})] })), []);
  t.same(codes(findings([])), [], 'no Ps');
  t.end();
});

t.test('findings: four queued goroutines for each P, while none is idle', (t) => {
  const busy = { ...QUIET.sched, npidle: 0, runqsize: 3 };
  const ps = [p({ runqsize: 5 }), p({})];
  t.match(findings([], { ps, sched: busy }), [{ code: 'long-run-queues', count: 8 }]);
  t.same(codes(findings([], { ps, sched: { ...busy, runqsize: 2 } })), []);
  t.same(codes(findings([], { ps, sched: { ...busy, npidle: 1 } })), []);
  t.end();
});

t.test('findings: a P that ran one goroutine for 100 ms', (t) => {
  const ps = [p({ id: 3, sinceScheduledNs: 100e6 }), p({ id: 4, sinceScheduledNs: 99e6 })];
  t.match(findings([], { ...QUIET, ps }), [{ code: 'long-run', count: 1, message: /^P3 ran one goroutine / }]);
  t.same(codes(findings([], { ...QUIET, ps: ps.slice(1) })), []);
  t.same(codes(findings([], { ...QUIET, ps: [p({ status: 'idle', sinceScheduledNs: 1e9 })] })), []);
  t.end();
});

t.test('findings: the five longest waits, the longest first', (t) => {
  const collector = new FindingsCollector();
  for (const [i, waitSinceNs] of [3, null, 9, 1, 7, 9, 5, 2].entries()) {
    collector.add(goroutineWith({ goid: i + 1, waitSinceNs }));
  }
  collector.add(goroutineWith({ goid: 99, waitSinceNs: 100, system: true }));
  t.same(
    collector.longestWaits.map(({ goid, waitSinceNs }) => [goid, waitSinceNs]),
    [
      [3, 9],
      [6, 9],
      [5, 7],
      [7, 5],
      [1, 3],
    ],
  );
  t.end();
});

import t from 'tap';
import { buildGo, requireGo, startGo } from './go.js';
import { TESTED_RELEASES } from './releases.js';
import { parseSchedTraces, schedTraceEnv, type SchedTrace } from './schedtrace.js';

for (const release of TESTED_RELEASES) {
  t.test(`scheduler trace: go${release} lists every P, M and goroutine of an idle program`, async (t) => {
    if (!requireGo(t)) return;
    const path = await buildGo({ fixture: 'park', release, link: 'plain' });
    const program = await startGo(t, path, { env: { ...schedTraceEnv(20), GOMAXPROCS: '3' } });
    const goroutines = Number(/^ready (\d+)/m.exec(program.stdout)?.[1]);
    const last = await quietTrace(() => program.stderr);
    await program.kill();

    t.equal(last.gomaxprocs, 3);
    t.match(
      last.ps.map((p) => p.id),
      [0, 1, 2],
    );
    t.equal(last.ps.filter((p) => p.status === 0).length, last.idleprocs);
    t.equal(last.idleprocs, 3, 'all goroutines are parked');
    t.equal(last.ms.length, last.threads);
    t.ok(last.gs.filter((g) => g.status === 4 || g.status === 3).length >= goroutines);
    t.ok(last.gs.some((g) => g.status === 4 && g.waitReason === 'select'));
  });
}

t.test('scheduler trace: without details there are only the sums', (t) => {
  const line = 'SCHED 20ms: gomaxprocs=2 idleprocs=1 threads=5 spinningthreads=0 idlethreads=3 runqueue=7 [1 0]\n';
  const traces = parseSchedTraces(`hello\n${line}${line}`);
  t.equal(traces.length, 1, 'the last may be incomplete');
  t.match(traces[0], {
    atMs: 20,
    gomaxprocs: 2,
    idleprocs: 1,
    threads: 5,
    idlethreads: 3,
    runqueue: 7,
    ps: [],
    gs: [],
  });
  t.end();
});

t.test('scheduler trace: a broken line is refused', (t) => {
  t.throws(() => parseSchedTraces('SCHED 0ms: gomaxprocs=x\nSCHED 1ms:\n'), /gomaxprocs=x/);
  t.end();
});

/** Returns the first trace in which no thread works: system goroutines of a parked program wake now and then. */
async function quietTrace(stderr: () => string): Promise<SchedTrace> {
  for (let seen = 0; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const traces = parseSchedTraces(stderr());
    const quiet = traces.slice(seen).findLast((trace) => trace.idleprocs === trace.gomaxprocs);
    if (quiet !== undefined) return quiet;
    seen = traces.length;
  }
}

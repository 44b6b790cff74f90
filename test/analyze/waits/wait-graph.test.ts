import t from 'tap';
import type { Strength } from '../../../analyze/waits/model.js';
import { WaitGraph, type Ender, type Needs } from '../../../analyze/waits/wait-graph.js';

function ender(goroutine: number, strength: Strength = 'exact'): Ender {
  return { goroutine, strength, evidence: [{ code: 'test', message: 'made up' }] };
}

/** A thing that goroutines wait on, and who may end that. */
interface Thing {
  readonly waiters: readonly number[];
  readonly enders: readonly Ender[];
  readonly needs?: Needs;
}

function graphOf(goroutines: number, things: readonly Thing[]): WaitGraph {
  const graph = new WaitGraph(goroutines);
  for (const { waiters, enders, needs = 'holder' } of things) {
    const thing = graph.addThing(needs);
    for (const g of waiters) graph.addWait(g, thing);
    graph.setEnders([thing], needs, enders);
  }
  return graph;
}

function cyclesOf(goroutines: number, things: readonly Thing[]): [string, readonly number[]][] {
  return graphOf(goroutines, things)
    .cycles()
    .map(({ strength, goroutines }) => [strength, goroutines]);
}

t.test('wait graph: two goroutines that hold what the other wants are a deadlock', (t) => {
  const things: Thing[] = [
    { waiters: [0, 3], enders: [ender(1)] },
    { waiters: [1], enders: [ender(0, 'strong')] },
    { waiters: [2], enders: [ender(3)] },
  ];
  const graph = graphOf(4, things);
  const cycles = graph.cycles();
  t.same(cycles, [{ goroutines: [0, 1], things: [0, 1], strength: 'strong' }]);
  t.same(graph.roots(cycles), [{ kind: 'cycle', cycle: 0, waiters: 2 }], '3 waits for it, and 2 for 3');
  t.end();
});

t.test('wait graph: a goroutine that waits for its own lock is a cycle of one', (t) => {
  t.same(cyclesOf(2, [{ waiters: [0, 1], enders: [ender(0, 'probable')] }]), [['probable', [0]]]);
  t.end();
});

t.test('wait graph: a cycle is as strong as its weakest edge, and a stronger one is told instead', (t) => {
  const weak: Thing[] = [
    { waiters: [0], enders: [ender(1, 'candidate')], needs: 'any' },
    { waiters: [1], enders: [ender(2)] },
    { waiters: [2], enders: [ender(0)] },
  ];
  t.same(cyclesOf(3, weak), [['candidate', [0, 1, 2]]]);
  const both: Thing[] = [
    { waiters: [0], enders: [ender(1, 'candidate'), ender(2, 'probable')], needs: 'any' },
    { waiters: [1], enders: [ender(2)] },
    { waiters: [2], enders: [ender(0)] },
  ];
  t.same(cyclesOf(3, both), [['probable', [0, 2]]]);
  t.end();
});

t.test('wait graph: what somebody else can end is no deadlock', (t) => {
  const back: Thing = { waiters: [1], enders: [ender(0)] };
  const running = ender(2, 'candidate');
  t.same(cyclesOf(3, [{ waiters: [0], enders: [ender(1, 'probable'), running], needs: 'any' }, back]), []);
  t.same(cyclesOf(3, [{ waiters: [0], enders: [ender(1), ender(2)], needs: 'all' }, back]), [['exact', [0, 1]]]);
  const timer: Thing = { waiters: [0], enders: [], needs: 'itself' };
  const channel: Thing = { waiters: [0], enders: [ender(1)], needs: 'any' };
  t.same(cyclesOf(3, [channel, back]), [['exact', [0, 1]]]);
  t.same(cyclesOf(3, [channel, timer, back]), [], 'a select with a time limit');
  t.same(cyclesOf(3, [channel, { waiters: [0], enders: [], needs: 'any' }, back]), [], 'a case that strangers may end');
  t.end();
});

t.test('wait graph: a deadlock leads over the likeliest holders only', (t) => {
  const back: Thing = { waiters: [1], enders: [ender(0)] };
  t.same(cyclesOf(3, [{ waiters: [0], enders: [ender(2, 'candidate'), ender(1)] }, back]), [['exact', [0, 1]]]);
  t.same(cyclesOf(3, [{ waiters: [0], enders: [ender(2, 'probable'), ender(1, 'probable')] }, back]), [], 'one of two');
  t.end();
});

t.test('wait graph: of several deadlocks each is told once, by a shortest cycle', (t) => {
  const things: Thing[] = [
    { waiters: [0], enders: [ender(1)] },
    { waiters: [1], enders: [ender(2), ender(0)], needs: 'all' },
    { waiters: [2], enders: [ender(0)] },
    { waiters: [3], enders: [ender(4)] },
    { waiters: [4], enders: [ender(3)] },
  ];
  t.same(cyclesOf(5, things), [
    ['exact', [0, 1]],
    ['exact', [3, 4]],
  ]);
  t.end();
});

t.test('wait graph: chains end at goroutines that wait for nobody, or at what nobody is known to end', (t) => {
  const graph = graphOf(6, [
    { waiters: [0, 1], enders: [ender(2)] },
    { waiters: [2], enders: [ender(3)] },
    { waiters: [4, 5], enders: [] },
  ]);
  t.same(graph.roots(graph.cycles()), [
    { kind: 'goroutine', goroutine: 3, waiters: 3 },
    { kind: 'thing', thing: 2, waiters: 2 },
  ]);
  t.end();
});

t.test('wait graph: a chain of 100,000 goroutines, and 100,000 behind one lock', (t) => {
  const n = 100_000;
  const chain = Array.from({ length: n - 1 }, (_, i): Thing => ({ waiters: [i], enders: [ender(i + 1)] }));
  const open = graphOf(n, chain);
  t.same(open.roots(open.cycles()), [{ kind: 'goroutine', goroutine: n - 1, waiters: n - 1 }]);
  const closed = graphOf(n, [...chain, { waiters: [n - 1], enders: [ender(0)] }]);
  const [ring] = closed.cycles();
  t.equal(ring?.goroutines.length, n, 'a ring of all');
  const crowd = graphOf(n, [
    { waiters: Array.from({ length: n - 1 }, (_, i) => i), enders: [ender(n - 1)] },
    { waiters: [n - 1], enders: [ender(7)] },
  ]);
  const cycles = crowd.cycles();
  t.same(cycles[0]?.goroutines, [7, n - 1]);
  t.same(crowd.roots(cycles), [{ kind: 'cycle', cycle: 0, waiters: n - 2 }]);
  t.end();
});

t.test('wait graph: edges drawn at random are never more than they can be', (t) => {
  let seed = 1;
  const random = (below: number): number => (seed = (seed * 48_271) % 0x7fffffff) % below;
  for (let round = 0; round < 50; round++) {
    const n = 2 + random(30);
    const strengths: readonly Strength[] = ['exact', 'strong', 'probable', 'candidate'];
    const needs: readonly Needs[] = ['any', 'all', 'holder', 'itself'];
    const things = Array.from({ length: random(40) }, (): Thing => ({
      waiters: Array.from({ length: random(4) }, () => random(n)),
      enders: Array.from({ length: random(4) }, () => ender(random(n), strengths[random(4)])),
      needs: needs[random(4)] ?? 'any',
    }));
    const graph = graphOf(n, things);
    const cycles = graph.cycles();
    for (const { goroutines, things: over } of cycles) {
      const leads = goroutines.every((g, i) => {
        const next = goroutines[(i + 1) % goroutines.length];
        const thing = over[i] ?? -1;
        return graph.thingsOf(g).includes(thing) && graph.endersOf(thing).some(({ goroutine }) => goroutine === next);
      });
      if (!leads) t.fail(`round ${round}: not a cycle`);
    }
    const counted = graph.roots(cycles).reduce((sum, { waiters }) => sum + waiters, 0);
    if (counted > n) t.fail(`round ${round}: ${counted} of ${n} goroutines wait`);
  }
  t.end();
});

t.test('wait graph: a select waits for whom it may be ended by, or else for the timer that ends it', (t) => {
  const things: Thing[] = [
    { waiters: [0, 1], enders: [], needs: 'any' },
    { waiters: [0, 1], enders: [], needs: 'itself' },
    { waiters: [1], enders: [ender(2, 'candidate')], needs: 'any' },
  ];
  const graph = graphOf(3, things);
  t.equal(graph.bestOf(0)?.thing, 1);
  t.equal(graph.bestOf(1)?.ender?.goroutine, 2);
  t.same(graph.roots([]), [{ kind: 'goroutine', goroutine: 2, waiters: 1 }]);
  t.end();
});

import t from 'tap';
import { proveLeaks } from '../../../analyze/leaks/prove.js';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { LocationResolver } from '../../../analyze/report/locations.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { OUTCOMES, type LeakProof, type Outcome } from '../../../snapshots/leak-proof.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { untilQuiet } from '../../support/quiet.js';
import { cellName, LEAKS_CELLS } from '../../support/releases.js';

const MAX_HEAP = 2 ** 30;

/** Runs a proof to its end. */
function proved(program: GoProgram): LeakProof {
  const steps = proveLeaks(program, MAX_HEAP);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The outcomes of goroutines by the function that they were started with, without package main's name. */
function outcomesByEntry(
  program: GoProgram,
  proof: LeakProof,
): Map<string, { goid: number; outcome: Outcome | null }[]> {
  const places = new LocationResolver(program);
  const outcomes = new Map([...proof.gs].map((g, i) => [g, OUTCOMES[proof.outcomes[i] ?? 0] ?? null]));
  const out = new Map<string, { goid: number; outcome: Outcome | null }[]>();
  for (const g of program.goroutines()) {
    const name = places.entry(g)?.func.replace('main.', '') ?? '';
    out.set(name, [...(out.get(name) ?? []), { goid: g.goid, outcome: outcomes.get(g.addr) ?? null }]);
  }
  return out;
}

const isLeak = (outcome: Outcome | null): boolean => outcome === 'leaked' || outcome === 'leaked but deferred';

for (const cell of LEAKS_CELLS) {
  t.test(`leaks: what nothing can wake is proved, and nothing else (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const running = await startGo(t, await buildGo(cell));
    await untilQuiet(running.pid);
    const target = new LiveProcess(running.pid, 'read');
    t.teardown(() => {
      target.close();
    });
    const program = openProgram(target.image());
    const found = outcomesByEntry(program, proved(program));
    const counts = [...running.stdout.matchAll(/^count (\w+) (\d+)$/gm)];
    t.ok(counts.length > 30);
    const missed: string[] = [];
    for (const [, name = '', count = ''] of counts) {
      const of = found.get(name) ?? [];
      t.equal(of.length, Number(count), `all goroutines of ${name} are there`);
      const leaked = of.filter(({ outcome }) => isLeak(outcome)).length;
      if (name.startsWith('live')) t.equal(leaked, 0, `${name}: none is called a leak`);
      else t.ok(leaked > 0, `${name}: ${leaked} of ${count} are proved`);
      if (name.startsWith('leak') && leaked < Number(count)) missed.push(`${name} ${leaked}/${count}`);
    }
    if (missed.length > 0) t.comment(`missed: ${missed.join(', ')}`);
    const others = [...found].filter(([name]) => !counts.some(([, known]) => known === name));
    t.same(
      others.filter(([, of]) => of.some(({ outcome }) => isLeak(outcome))).map(([name]) => name),
      [],
      "the standard library's goroutines are not",
    );

    const before = running.stdout.length;
    running.ask('leaks').catch(() => undefined);
    await running.waitFor(/^end of profile$/m, before);
    const profile = running.stdout.slice(before);
    const theirs = new Set(
      [...profile.matchAll(/^goroutine (\d+) \[[^\]]*\(leaked\)/gm)].map(([, goid]) => Number(goid)),
    );
    t.equal(theirs.size > 0, cell.release === '1.27');
    if (theirs.size === 0) return;
    for (const [name, of] of found) {
      const judged = of.filter(({ goid }) => theirs.has(goid)).length;
      const ours = of.filter(({ outcome }) => isLeak(outcome)).length;
      if (judged > 0) t.ok(ours > 0, `${name}: the runtime calls ${judged} leaked, and ${ours} are proved`);
      const wrong = of.filter(({ goid, outcome }) => outcome === 'leaked' && !theirs.has(goid));
      t.same(wrong, [], `${name}: the runtime calls all leaked that it would by its own rule`);
    }
  });
}

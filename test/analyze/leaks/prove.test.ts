import t from 'tap';
import { openProgram } from '../../../analyze/program.js';
import { listGoroutines } from '../../../analyze/report/goroutines.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { isLeak, outcomesByEntry, printedCounts, provedIn } from '../../support/leak-outcomes.js';
import { untilQuiet } from '../../support/quiet.js';
import { cellName, LEAKS_CELLS } from '../../support/releases.js';

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
    const found = outcomesByEntry(program, provedIn(program));
    const counts = printedCounts(running.stdout);
    t.ok(counts.size > 30);
    for (const [name, count] of counts) {
      const of = found.get(name) ?? [];
      t.equal(of.length, count, `all goroutines of ${name} are there`);
      const leaked = of.filter(isLeak).length;
      if (name.startsWith('live')) t.equal(leaked, 0, `${name}: none is called a leak`);
      else t.ok(leaked > 0, `${name}: ${leaked} of ${count} are proved`);
    }
    const others = [...found].filter(([name, of]) => !counts.has(name) && of.some(isLeak));
    t.same(
      others.map(([name]) => name),
      [],
      "the standard library's goroutines are not leaked",
    );

    const before = running.stdout.length;
    running.ask('leaks').catch(() => undefined);
    await running.waitFor(/^end of profile$/m, before);
    const profile = running.stdout.slice(before);
    const printed = new Map(
      [...profile.matchAll(/^goroutine (\d+) \[(.*) \(leaked\)/gm)].map(([, goid, why]) => [Number(goid), why]),
    );
    t.equal(
      printed.size > 0,
      cell.release === '1.27' || cell.experiment !== undefined,
      'the runtime has such a profile',
    );
    const after = [...listGoroutines(openProgram(target.image()), 'plain')].filter(({ goid }) => printed.has(goid));
    t.same(
      after.map(({ goid, status, waitReason }) => [goid, status, waitReason]),
      [...printed].sort(([a], [b]) => a - b).map(([goid, why]) => [goid, 'leaked', why]),
      'the runtime marks them, and what they wait for is still told',
    );
    for (const [name, of] of printed.size === 0 ? [] : found) {
      const judged = of.filter(({ goid }) => printed.has(goid)).length;
      const ours = of.filter(isLeak).length;
      if (judged > 0) t.ok(ours > 0, `${name}: the runtime calls ${judged} leaked, and ${ours} are proved`);
      const wrong = of.filter(({ goid, outcome }) => outcome === 'leaked' && !printed.has(goid));
      t.same(wrong, [], `${name}: what is proved by its own rule, the runtime calls leaked`);
    }
  });
}

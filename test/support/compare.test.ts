import t from 'tap';
import type { Frame, GoroutineWithStack } from '../../analyze/report/model.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { openProgram } from '../../analyze/program.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { compareWithTraceback } from './compare.js';
import { buildGo, requireGo, startGo } from './go.js';
import { untilQuiet } from './quiet.js';
import { parseTraceback } from './traceback.js';

for (const release of ['1.12', '1.27'] as const) {
  t.test(`compare: nothing differs from what Go ${release} prints, and every alteration is found`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo({ fixture: 'park', release, link: 'plain' }));
    await untilQuiet(program.pid);
    const target = new LiveProcess(program.pid, 'read');
    const goroutines = [...listGoroutines(openProgram(target.image()), 'stack')];
    target.close();
    const traceback = parseTraceback(await program.quit());
    const differences = (altered: readonly GoroutineWithStack[]): string[] =>
      compareWithTraceback(altered, traceback, { labels: release === '1.27' }).differences;

    const { differences: none, compared } = compareWithTraceback(goroutines, traceback);
    t.same(none, []);
    t.ok(compared.goroutines > 80, `${compared.goroutines} goroutines were compared`);
    t.ok(compared.frames > 600, `${compared.frames} frames were compared`);

    const index = goroutines.findIndex(({ entry }) => entry?.func === 'main.inlinedThreeDeep');
    const victim = goroutines[index];
    if (victim === undefined) throw new Error('the program has no goroutine of that name');
    const withChange = (change: Partial<GoroutineWithStack>): GoroutineWithStack[] =>
      goroutines.with(index, { ...victim, ...change });
    victim.frames.forEach((frame, at) => {
      const changes: Partial<Frame>[] = [
        { func: 'main.other' },
        { file: '/elsewhere.go' },
        { line: frame.line + 1 },
        { pc: '0x1' },
        { sp: '0x1' },
        { fp: '0x1' },
        { inlined: !frame.inlined },
      ];
      for (const change of changes) {
        const frames = victim.frames.with(at, { ...frame, ...change });
        const [found = '', ...more] = differences(withChange({ frames }));
        t.match(found, `goroutine ${victim.goid} (main.inlinedThreeDeep): frame ${at} (${frame.func})`);
        t.same(more, [], 'it is found once');
      }
    });
    t.ok(victim.frames.some(({ inlined }) => inlined));
    const creator = victim.creator === null ? null : { ...victim.creator, line: victim.creator.line + 1 };
    const changes: Partial<GoroutineWithStack>[] = [
      { frames: victim.frames.slice(1) },
      { frames: victim.frames.slice(0, -1) },
      { waitReason: 'sleep' },
      { waitReason: null },
      { status: 'syscall', waitReason: null },
      { lockedToThread: true },
      { creator },
      { creator: null },
      { parentGoid: 4711 },
      { goid: 4711 },
      { waitSinceNs: 120e9 },
      ...(release === '1.27' ? [{ status: 'leaked' } as const] : []),
    ];
    for (const change of changes) t.not(differences(withChange(change)).length, 0, JSON.stringify(change).slice(0, 60));
    t.same(differences(goroutines.toSpliced(index, 1)).length, 1, 'one that is missing');
    t.same(differences([...goroutines, victim]), [`goroutine ${victim.goid} is listed twice`]);
  });
}

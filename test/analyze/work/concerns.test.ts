import t from 'tap';
import { openProgram } from '../../../analyze/program.js';
import { WorkReader } from '../../../analyze/work/work-reader.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { untilQuiet } from '../../support/quiet.js';

t.test('work: stacks that tell nothing are known by the places on them', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo({ fixture: 'decoders', release: '1.27', link: 'stripped' }));
  await untilQuiet(running.pid);
  const target = new LiveProcess(running.pid, 'read');
  t.teardown(() => {
    target.close();
  });
  const said = new Map(
    [...running.stdout.matchAll(/^work (\d+) (\S+)/gm)].map(([, goid, kind]) => [Number(goid), kind]),
  );
  const program = openProgram(target.image());
  const reader = new WorkReader(program, true);
  const all = [...program.goroutines('stack')].map((g) => {
    const { frames } = program.stackOf(g);
    return { kind: said.get(g.goid), concerns: reader.concerns(frames), told: reader.of(frames, () => []).length > 0 };
  });
  t.same(
    all.filter(({ told, concerns }) => told && !concerns),
    [],
    'whatever is told, was looked for',
  );
  const waiting = all.filter(({ kind }) => kind === 'chan' || kind === 'timer');
  t.ok(waiting.length >= 6, `${waiting.length} goroutines wait in functions without arguments`);
  t.same(
    waiting.filter(({ concerns }) => concerns),
    [],
    'nothing was looked for there',
  );
});

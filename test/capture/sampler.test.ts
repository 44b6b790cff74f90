import { readdirSync, readlinkSync } from 'node:fs';
import t from 'tap';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { buildView } from '../../analyze/report/live-view.js';
import { captureToImage } from '../../capture/capture.js';
import { ProcessSampler } from '../../capture/copy/process-sampler.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { compareWithTraceback } from '../support/compare.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { untilQuiet } from '../support/quiet.js';
import { cellName, FLOW, TESTED_RELEASES, type Cell } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';
import { thrownBy, tracers } from './targets.js';

const MANY = 40;
const WHOLE = 'stack';

function sampler(t: { teardown(end: () => void): void }, pid: number): ProcessSampler {
  const made = new ProcessSampler(pid);
  t.teardown(() => made.close());
  return made;
}

if (requireGo(t)) {
  for (const release of TESTED_RELEASES) {
    const cell: Cell = { fixture: 'park', release, link: 'stripped-pie' };
    t.test(`sampler: every parked goroutine is where the program says it is (${cellName(cell)})`, async (t) => {
      const program = await startGo(t, await buildGo(cell));
      await untilQuiet(program.pid);
      const target = sampler(t, program.pid);
      const goroutines = [...listGoroutines(target.look()[0], WHOLE)];
      const again = [...listGoroutines(target.look()[0], WHOLE)];
      t.same(
        tracers(program.pid).filter((tracer) => tracer !== 0),
        [],
        'nobody traces it',
      );
      const traceback = parseTraceback(await program.quit());
      for (const looked of [goroutines, again]) {
        const { differences, compared } = compareWithTraceback(looked, traceback);
        t.same(differences, []);
        t.ok(compared.goroutines >= MANY, `${compared.goroutines} goroutines and ${compared.frames} frames compared`);
      }
    });
  }

  t.test('sampler: gives right stacks or none of a busy program', async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'busy', release: '1.26', link: 'stripped' }));
    const target = sampler(t, program.pid);
    let whole = 0;
    const wrong: string[] = [];
    for (let i = 0; i < 3; i++) {
      const permanent = new Set<string>();
      for (const { goid, entry, frames, truncated, start } of listGoroutines(target.look()[0], WHOLE)) {
        if (frames.length === 0 || truncated !== null) {
          if (truncated === null) wrong.push(`goroutine ${goid} has no stack, and no reason`);
          continue;
        }
        whole++;
        const [own, end] = frames.slice(-2);
        if (end?.func !== 'runtime.goexit' || own?.func !== start?.func) wrong.push(`goroutine ${goid} ends elsewhere`);
        if (entry?.func.startsWith('main.permanent') === true) permanent.add(entry.func);
      }
      t.equal(permanent.size, 20, 'all those that never move are seen');
    }
    t.same(wrong, []);
    t.ok(whole >= 100, `${whole} whole stacks`);
    t.ok(program.alive());
  });

  t.test('sampler: sees goroutines that were not there at first', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    const target = sampler(t, program.pid);
    const counts = (): Map<string, number> => {
      const { groups } = buildView(target.look()[0], { by: { kind: 'start' }, open: null, goid: null });
      return new Map(groups.map(({ count, loc }) => [loc?.func ?? '', count]));
    };
    t.equal(counts().get('main.crowded'), undefined);
    for (const [command, total] of [
      ['crowd 10', 10],
      ['crowd 2000', 2010],
      ['crowd 5000', 7010],
    ] as const) {
      await program.ask(command);
      t.equal(counts().get('main.crowded'), total, command);
    }
    const opened = buildView(target.look()[0], { by: { kind: 'stack' }, open: null, goid: null });
    t.equal(opened.groups[0]?.count, 7010, 'they all have one stack');
  });

  t.test('sampler: reports that the process has ended, or may not be read', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    const target = sampler(t, program.pid);
    target.look();
    await program.kill();
    const error = thrownBy(() => target.look());
    t.ok(error instanceof GospyError && error.exitCode === ExitCode.noGoProcess, String(error));
    const none = thrownBy(() => new ProcessSampler(process.pid));
    t.ok(none instanceof GospyError && none.exitCode === ExitCode.noGoProcess, String(none));
  });

  t.test('sampler: leaves no file open after many looks, and nor do captures', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    const memoryFiles = (): number => readdirSync('/proc/self/fd').filter((fd) => leadsTo(fd, program.pid)).length;
    const target = new ProcessSampler(program.pid);
    for (let i = 0; i < 5; i++) target.look();
    t.equal(memoryFiles(), 1);
    target.close();
    for (const mode of ['stop', 'live'] as const) await captureToImage(program.pid, { mode, writer: 'test' });
    t.equal(memoryFiles(), 0);
  });
}

/** True if an open file belongs to a process's folder in /proc. */
function leadsTo(fd: string, pid: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`/proc/${pid}/`);
  } catch {
    return false;
  }
}

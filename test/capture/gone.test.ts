import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { warningsOf } from '../../analyze/report/all-runtimes.js';
import { openProgram } from '../../analyze/program.js';
import { captureToFile, type CaptureMode, type CaptureReport } from '../../capture/capture.js';
import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { Copies } from '../../capture/copy/copies.js';
import { HeldSource } from '../../capture/copy/held-source.js';
import { planLive, surveyLive } from '../../capture/copy/look-again.js';
import { constantRuns } from '../../capture/copy/plan.js';
import { WorkSurvey } from '../../capture/copy/work-survey.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { addr } from '../../snapshots/address.js';
import { MemoryFault, SegmentSource } from '../../snapshots/memory.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { compareWithTraceback } from '../support/compare.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import type { Cell } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';
import { captureInStop } from './capture-in-stop.js';
import { Target, buildBusyGo, buildC, isAnew, isSleep, isZombie, waitHere } from './targets.js';

const MODES = ['stop', 'clone', 'live'] as const;
const CELLS: readonly Cell[] = [
  { fixture: 'park', release: '1.12', link: 'stripped' },
  { fixture: 'park', release: '1.19', link: 'stripped-pie' },
  { fixture: 'park', release: '1.26', link: 'stripped' },
];
/** Goroutines that serve, send and wait for requests. */
const WORKING: readonly Cell[] = [
  { fixture: 'working', release: '1.13', link: 'stripped' },
  { fixture: 'working', release: '1.26', link: 'stripped' },
];
/** The warning that the process was gone before all was read. */
const GONE = 'process-gone';
/** Runs a program whose traceback, longer than a pipe holds, goes to a file. */
const INTO_FILE = ['-c', 'exec "$0" 2> "$1"'];

/** Captures a process to which something happens once it was copied, before the rest of its code and constants are read. */
function captureOf(pid: number, path: string, mode: CaptureMode, happens: () => void): Promise<CaptureReport> {
  const progress = (doing: string): void => {
    if (doing === 'making sense of what was read') happens();
  };
  return captureToFile(pid, path, { mode, writer: 'test', progress });
}

if (requireGo(t)) {
  for (const cell of CELLS) {
    for (const mode of MODES) {
      t.test(
        `gone: go${cell.release} ${cell.link}, mode ${mode}: a process that has ended is told whole`,
        async (t) => {
          const folder = temporaryFolder(t);
          const [path, traceback] = [join(folder, 'gone.gsp'), join(folder, 'traceback')];
          const program = await startGo(t, 'bash', { args: [...INTO_FILE, await buildGo(cell), traceback] });
          const { partial, warnings } = await captureOf(program.pid, path, mode, () => {
            process.kill(program.pid, 'SIGQUIT');
            waitHere(() => isZombie(program.pid));
          });
          t.notOk(partial, 'nothing was left to read');
          t.strictSame(
            warnings.filter(({ code }) => code === GONE),
            [],
          );
          const image = openSnapshot(path);
          t.teardown(() => image.close());
          const goroutines = listGoroutines(openProgram(image), 'stack');
          const { differences, compared } = compareWithTraceback(
            goroutines,
            parseTraceback(readFileSync(traceback, 'utf8')),
          );
          t.strictSame(differences, []);
          t.ok(compared.goroutines > 50, `${compared.goroutines} goroutines`);
        },
      );
    }
  }
  for (const cell of WORKING) {
    t.test(`gone: go${cell.release}: what goroutines worked on is kept of a process that has ended`, async (t) => {
      const { pid } = await startGo(t, await buildGo(cell));
      const target = new LiveProcess(pid, 'stop');
      t.teardown(() => target.close());
      const surveyed = surveyLive(target, NO_DEBUG_INFO);
      const copies = new Copies(surveyed, planLive(surveyed, target), target);
      const work = new WorkSurvey('full', []);
      copies.readAhead();
      work.lookBefore(copies, target);
      copies.readStopped([]);
      process.kill(pid, 'SIGKILL');
      waitHere(() => isZombie(pid));
      work.lookAfter(copies, target);
      const [last] = copies.lastRead(target);
      const { byG } = work.resultFor(last === undefined ? surveyed.programs : [last.program]);
      t.ok(byG.size > 5, `of ${byG.size} goroutines`);
    });
  }
}

const programs = buildC();
t.teardown(() => programs.remove());
const busy = buildBusyGo(programs.folder);

for (const mode of MODES) {
  t.test(`gone: mode ${mode}: nothing is read of the program that a process has become`, async (t) => {
    const target = await Target.start(busy);
    t.teardown(() => target.end());
    const path = join(temporaryFolder(t), 'other.gsp');
    const { partial, warnings } = await captureOf(target.pid, path, mode, () => {
      process.kill(target.pid, 'SIGUSR2');
      waitHere(() => isSleep(target.pid));
    });
    const isTold = warnings.some(({ code }) => code === GONE);
    t.equal(partial, isTold, 'whether something was left to read depends on where its goroutines were');
    const image = openSnapshot(path);
    t.teardown(() => image.close());
    const [first] = [...listGoroutines(openProgram(image), 'stack')].filter(({ goid }) => goid === 1);
    t.match(first, { entry: { func: 'runtime.main' }, truncated: null });
  });
}

t.test('gone: nothing is read of the same program that was started anew in the process', async (t) => {
  const target = await Target.start(busy, busy);
  t.teardown(() => target.end());
  const live = new LiveProcess(target.pid, 'read');
  t.teardown(() => live.close());
  const [first, now] = [live.image().memory, live.contents().memory];
  const start = live.mappings[0]?.start ?? addr(0);
  process.kill(target.pid, 'SIGUSR2');
  waitHere(() => isAnew(target.pid));
  t.equal(live.bytesNow(start, 8)?.length, 8, 'it lies at the same addresses');
  t.throws(() => first.u8(start), MemoryFault);
  t.throws(() => now.u8(start), MemoryFault);
});

t.test('gone: a snapshot that lacks what could not be read any more is partial', async (t) => {
  const target = await Target.start(busy);
  t.teardown(() => target.end());
  const kill = (): void => void process.kill(target.pid, 'SIGKILL');
  const { image, programs } = captureInStop(target.pid, kill, (surveyed) => {
    waitHere(() => isZombie(target.pid));
    const { mappings } = surveyed.programs[0].image;
    return { ...surveyed, held: new HeldSource(new SegmentSource([]), constantRuns(mappings)) };
  });
  t.equal(image.capture.partial, true);
  t.ok(warningsOf(programs).some(({ code }) => code === GONE));
});

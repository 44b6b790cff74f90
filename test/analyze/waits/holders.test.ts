import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import type { G } from '../../../analyze/runtime/goroutine.js';
import { findHolders } from '../../../analyze/waits/holders.js';
import { captureToFile, captureToImage } from '../../../capture/capture.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { dumpEmulated, requireEmulator } from '../../support/emulated.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { openCore } from '../../../snapshots/elf/core-image.js';
import { openCorePrograms } from '../../../src/targets/core-files.js';
import { gcore } from '../../support/cores.js';
import { cellName } from '../../support/releases.js';
import { temporaryFolder } from '../../support/gsp.js';
import { plantedIn } from '../../support/planted.js';
import { LOCKS_ARM64_CELLS, LOCKS_CELLS } from '../../support/wait-cells.js';
import { holderFaults, toldLocks } from './told-locks.js';

/** The release of which a core is read, too: gcore takes a second for each. */
const OF_CORE = LOCKS_CELLS.find(({ link }) => link === 'stripped');

/** Compares the holders that are found with those that a program has told of. */
function checkHolders(t: Test, program: GoProgram, output: string, what: string): void {
  const told = toldLocks(program, output);
  const locks = told.map(({ lock }) => lock);
  const torn = new Set(program.image.capture.torn);
  // Without a stop, nothing is known of the stack of one that runs: where it is, its thread's registers say.
  const isStopped = program.image.threads.some(({ registers }) => registers !== null);
  const isUnknown = ({ addr, status }: G): boolean => torn.has(addr) || (!isStopped && status === 'running');
  const moved = new Set([...program.goroutines()].filter(isUnknown).map(({ goid }) => goid));
  const { untrue, missed, probable, wronglyProbable } = holderFaults(told, findHolders(program, locks), moved);
  t.strictSame(untrue, [], `${what}: who surely holds a lock does hold it`);
  t.strictSame(missed, [], `${what}: who holds a lock comes first`);
  t.ok(wronglyProbable <= probable / 10, `${what}: ${wronglyProbable} of ${probable} are none`);
}

for (const cell of LOCKS_CELLS) {
  t.test(`holders: every lock is held by whom the program says (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const target = await startGo(t, await buildGo(cell));
    const live = new LiveProcess(target.pid, 'read');
    t.teardown(() => {
      live.close();
    });
    const check = (program: GoProgram, what: string): void => checkHolders(t, program, target.stdout, what);
    check(openProgram(live.image()), 'live');
    for (const mode of ['stop', 'clone', 'live'] as const) {
      const { image } = await captureToImage(target.pid, { mode, writer: 'test' });
      check(openProgram(image), mode);
    }
    // Its maps have 20 keys of the same length: a snapshot has those by which locks are reached.
    const path = join(temporaryFolder(t), 'locks.gsp');
    await captureToFile(target.pid, path, { mode: 'stop', writer: 'test' });
    t.same(
      plantedIn(path).filter((text) => !/planted0[34]/.test(text)),
      [],
      'no other key is in a snapshot',
    );
    if (cell !== OF_CORE) return;
    const core = openCore(await gcore(t, target.pid));
    const opened = openCorePrograms(core, {});
    t.teardown(() => {
      opened.close();
      core.close();
    });
    check(opened.programs[0], 'core');
  });
}

for (const cell of LOCKS_ARM64_CELLS) {
  t.test(`holders: every lock is held by whom the program says (arm64, ${cellName(cell)})`, async (t) => {
    if (!requireGo(t) || !requireEmulator(t)) return;
    const path = await buildGo(cell);
    const dumped = await dumpEmulated(t, path);
    const core = openCore(dumped.core);
    const opened = openCorePrograms(core, { bin: path });
    t.teardown(() => {
      opened.close();
      core.close();
    });
    checkHolders(t, opened.programs[0], dumped.stdout, 'core');
  });
}

import t from 'tap';
import { openProgram } from '../../../analyze/program.js';
import { findHolders } from '../../../analyze/waits/holders.js';
import { captureToImage } from '../../../capture/capture.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import type { ProcessImage } from '../../../snapshots/image.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { cellName, LOCKS_CELLS } from '../../support/releases.js';
import { holderFaults, toldLocks } from './told-locks.js';

for (const cell of LOCKS_CELLS) {
  t.test(`holders: every lock is held by whom the program says (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const target = await startGo(t, await buildGo(cell));
    const live = new LiveProcess(target.pid, 'read');
    t.teardown(() => {
      live.close();
    });
    const check = (image: ProcessImage, what: string): void => {
      const program = openProgram(image);
      const told = toldLocks(program, target.stdout);
      const locks = told.map(({ lock }) => lock);
      const torn = new Set(image.capture.torn);
      const moved = new Set([...program.goroutines()].filter(({ addr }) => torn.has(addr)).map(({ goid }) => goid));
      const { untrue, missed, probable, wronglyProbable } = holderFaults(told, findHolders(program, locks), moved);
      t.strictSame(untrue, [], `${what}: who surely holds a lock does hold it`);
      t.strictSame(missed, [], `${what}: who holds a lock comes first`);
      t.ok(wronglyProbable <= probable / 10, `${what}: ${wronglyProbable} of ${probable} are none`);
    };
    check(live.image(), 'live');
    for (const mode of ['stop', 'clone', 'live'] as const) {
      const { image } = await captureToImage(target.pid, { mode, writer: 'test' });
      check(image, mode);
    }
  });
}

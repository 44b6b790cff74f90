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
    const check = (image: ProcessImage): void => {
      const program = openProgram(image);
      const told = toldLocks(program, target.stdout);
      const locks = told.map(({ lock }) => lock);
      const { untrue, missed, probable, wronglyProbable } = holderFaults(told, findHolders(program, locks));
      t.strictSame(untrue, [], `${image.kind}: who surely holds a lock does hold it`);
      t.strictSame(missed, [], `${image.kind}: who holds a lock comes first`);
      t.ok(wronglyProbable <= probable / 10, `${image.kind}: ${wronglyProbable} of ${probable} are none`);
    };
    check(live.image());
    const { image } = await captureToImage(target.pid, { mode: 'stop', writer: 'test' });
    check(image);
  });
}

import t from 'tap';
import { openProgram } from '../../../analyze/program.js';
import { findHolders } from '../../../analyze/waits/holders.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
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
    const program = openProgram(live.image());
    const told = toldLocks(program, target.stdout);
    const found = findHolders(
      program,
      told.map(({ lock }) => lock),
    );
    t.strictSame(holderFaults(told, found), []);
  });
}

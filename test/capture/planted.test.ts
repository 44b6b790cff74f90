import { join } from 'node:path';
import t from 'tap';
import { gcore } from '../support/cores.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { plantedIn } from '../support/planted.js';
import { cellName, PLANTED_CELLS } from '../support/releases.js';
import { untilQuiet } from '../support/quiet.js';
import { gospyHere } from '../src/gospy-here.js';

for (const cell of PLANTED_CELLS) {
  t.test(
    `planted: a snapshot has nothing of the heap that lies between what it needs (${cellName(cell)})`,
    async (t) => {
      if (!requireGo(t)) return;
      const path = await buildGo(cell);
      const running = await startGo(t, path);
      await untilQuiet(running.pid);
      const folder = temporaryFolder(t);
      for (const mode of ['stop', 'clone', 'live']) {
        const file = join(folder, `${mode}.gsp`);
        t.equal((await gospyHere(['capture', '--pid', String(running.pid), '-o', file, '--mode', mode])).code, 0);
        t.strictSame(plantedIn(file), [], mode);
      }
      const core = await gcore(t, running.pid);
      await running.kill();
      const file = join(folder, 'core.gsp');
      t.equal((await gospyHere(['capture', '--core', core, '--bin', path, '-o', file])).code, 0);
      t.strictSame(plantedIn(file), [], 'core');
    },
  );
}

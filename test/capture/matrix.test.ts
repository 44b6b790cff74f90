import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToFile } from '../../capture/capture.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { compareWithTraceback } from '../support/compare.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { cellName, PARK_CELLS } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';

/** What the program prints of its last goroutines must not be cut: more than these are always compared. */
const MANY = 40;

if (requireGo(t)) {
  for (const cell of PARK_CELLS) {
    t.test(`snapshot: every parked goroutine is where the program says it is (${cellName(cell)})`, async (t) => {
      const program = await startGo(t, await buildGo(cell));
      const path = join(temporaryFolder(t), 'park.gsp');
      const report = await captureToFile(program.pid, path, { mode: 'stop', writer: 'test' });
      t.ok(program.alive(), 'the program lives');
      const traceback = parseTraceback(await program.quit());
      const image = openSnapshot(path);
      t.teardown(() => image.close());
      const opened = openProgram(image);
      const goroutines = [...listGoroutines(opened, 'stack')];
      const { differences, compared } = compareWithTraceback(goroutines, traceback);
      t.same(differences, []);
      t.ok(compared.goroutines >= MANY, `${compared.goroutines} goroutines and ${compared.frames} frames compared`);
      t.equal(report.goroutines, goroutines.length);
      t.same(opened.warnings, []);
      t.same(image.damage, []);
      rmSync(path);
    });
  }
}

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToFile } from '../../capture/capture.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { compareWithTraceback } from '../support/compare.js';
import { buildEmbedded } from '../support/embedded.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { BUILD_CELLS, cellName, EMBEDDED } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';

const MANY = 40;

/** A Go runtime that is a library leaves all signals to the C program, except those of faults. */
type Signal = 'SIGQUIT' | 'SIGSEGV';

async function agrees(t: Test, program: GoProcess, signal: Signal): Promise<void> {
  const path = join(temporaryFolder(t), 'park.gsp');
  await captureToFile(program.pid, path, { mode: 'stop', writer: 'test' });
  t.ok(program.alive(), 'the program lives');
  const traceback = parseTraceback(await program.quit(signal));
  const image = openSnapshot(path);
  t.teardown(() => image.close());
  const opened = openProgram(image);
  const goroutines = [...listGoroutines(opened, 'stack')];
  const { differences, compared } = compareWithTraceback(goroutines, traceback);
  t.same(differences, []);
  t.ok(compared.goroutines >= MANY, `${compared.goroutines} goroutines and ${compared.frames} frames compared`);
  t.same(opened.warnings, []);
  t.same(image.damage, []);
}

if (requireGo(t)) {
  for (const cell of BUILD_CELLS) {
    t.test(`snapshot: every parked goroutine is where the program says it is (${cellName(cell)})`, async (t) => {
      await agrees(t, await startGo(t, await buildGo(cell)), 'SIGQUIT');
    });
  }
  for (const { embedding, release } of EMBEDDED) {
    t.test(`snapshot: Go code in another program is captured as exactly (${embedding} go${release})`, async (t) => {
      const { path, args } = await buildEmbedded(embedding, release);
      await agrees(t, await startGo(t, path, { args }), embedding === 'plugin' ? 'SIGQUIT' : 'SIGSEGV');
    });
  }
}

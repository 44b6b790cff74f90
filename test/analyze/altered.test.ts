import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToFile } from '../../capture/capture.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { compareWithTraceback } from '../support/compare.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { RELEASES, type Cell } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';

/** A text in the executable and its replacement, of the same length. */
type Change = readonly [from: string, to: string];

const BLOB = 'Go buildinf:';
const NAMED = ['incidlelocked', 'gcMarkTinyAllocs', 'allgadd', 'rt0_go', 'mexit', 'schedinit'];
const RENAMED = NAMED.map((name): Change => [`runtime.${name}\0`, `runtime.${'_'.repeat(name.length)}\0`]);

/** Builds a program, changes texts in its executable, and starts it. */
async function startAltered(t: Test, cell: Cell, changes: readonly Change[]): Promise<GoProcess> {
  let bytes = readFileSync(await buildGo(cell)).toString('latin1');
  for (const [from, to] of changes) {
    if (from.length !== to.length || !bytes.includes(from)) throw new Error(`${from} cannot be replaced`);
    bytes = bytes.replaceAll(from, to);
  }
  const path = join(temporaryFolder(t), 'altered');
  writeFileSync(path, bytes, 'latin1');
  chmodSync(path, 0o755);
  return startGo(t, path);
}

/** Captures the program, and compares the snapshot with the traceback that it prints. Returns the captured program. */
async function captureAndCompare(t: Test, target: GoProcess): Promise<GoProgram> {
  const path = join(temporaryFolder(t), 'altered.gsp');
  await captureToFile(target.pid, path, { mode: 'stop', writer: '0.0.0' });
  const image = openSnapshot(path);
  t.teardown(() => image.close());
  const program = openProgram(image);
  const goroutines = [...listGoroutines(program, 'stack')];
  const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(await target.quit()));
  t.same(differences, []);
  t.ok(compared.goroutines > 40, `${compared.goroutines} goroutines compared`);
  return program;
}

function warningCodes({ warnings }: GoProgram): string[] {
  return [...new Set(warnings.map(({ code }) => code))];
}

if (requireGo(t)) {
  for (const release of ['1.15', '1.17', '1.19', '1.21', '1.24', '1.26', '1.27'] as const) {
    t.test(`analyze: Go ${release} is recognized without the build info`, async (t) => {
      const target = await startAltered(t, { fixture: 'park', release, link: 'stripped' }, [[BLOB, 'Go missing!:']]);
      const program = await captureAndCompare(t, target);
      t.equal(program.version.text, RELEASES[release]);
      t.equal(program.code.versionFrom, 'runtime.buildVersion');
      t.same(program.warnings, []);
    });
  }

  for (const release of ['1.12', '1.19', '1.26'] as const) {
    t.test(`analyze: Go ${release} is read exactly where functions of the runtime have other names`, async (t) => {
      const blob = release === '1.12' ? [] : [[BLOB, 'Go missing!:'] as const];
      const target = await startAltered(t, { fixture: 'park', release, link: 'stripped' }, [...RENAMED, ...blob]);
      const program = await captureAndCompare(t, target);
      t.equal(program.version.text, RELEASES[release]);
      t.same(warningCodes(program), ['globals-second-way']);
    });
  }

  t.test('analyze: a patch release newer than all that are known is read, with a warning', async (t) => {
    const version: Change = [`go${RELEASES['1.24']}`, 'go1.24.99'];
    const program = await captureAndCompare(
      t,
      await startAltered(t, { fixture: 'park', release: '1.24', link: 'stripped' }, [version]),
    );
    t.same(warningCodes(program), ['layout-newer-patch']);
  });

  t.test('analyze: an unknown release is read where the layouts of the nearest one fit', async (t) => {
    for (const release of ['1.26', '1.27'] as const) {
      const version: Change = [`go${RELEASES[release]}`, 'go1.98.7'];
      const target = await startAltered(t, { fixture: 'park', release, link: 'stripped' }, [version]);
      const program = await captureAndCompare(t, target);
      t.equal(program.version.text, '1.98.7');
      t.same(warningCodes(program), ['layout-nearest']);
    }
  });

  t.test('analyze: an unknown release is refused where no layouts fit', async (t) => {
    const version: Change = [`go${RELEASES['1.12']}`, 'go1.98.17'];
    const target = await startAltered(t, { fixture: 'park', release: '1.12', link: 'stripped' }, [version]);
    const path = join(temporaryFolder(t), 'none.gsp');
    await t.rejects(captureToFile(target.pid, path, { mode: 'stop', writer: '0.0.0' }), {
      exitCode: 6,
      message: /Go 1\.98\.17.*sched/,
    });
    t.ok(target.alive(), 'the program goes on');
  });
}

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { explainStack } from '../../analyze/report/explain.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { openCore } from '../../snapshots/elf/core-image.js';
import { openCorePrograms } from '../../src/targets/core-files.js';
import { compareWithTraceback } from '../support/compare.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { cellName, PARK_ARM64_CELLS } from '../support/releases.js';
import { skip } from '../support/skip.js';
import { parseTraceback } from '../support/traceback.js';

const MANY = 80;
/** Runs a program until a signal ends it. qemu writes a core of the program, and the kernel one of qemu. */
const EMULATED = 'cd "$1" && ulimit -c unlimited && exec qemu-aarch64 "$2"';

/** Returns whether there is an emulator; without one, skips the tests. */
function requireEmulator(): boolean {
  try {
    execFileSync('qemu-aarch64', ['-version'], { stdio: 'ignore' });
    return true;
  } catch {
    skip(t, 'no qemu-aarch64 on PATH to run programs for arm64');
    return false;
  }
}

t.setTimeout(600_000);

if (requireGo(t) && requireEmulator()) {
  for (const cell of PARK_ARM64_CELLS) {
    t.test(`core: every parked goroutine is where the program says it is (arm64, ${cellName(cell)})`, async (t) => {
      const path = await buildGo(cell);
      const folder = temporaryFolder(t);
      const program = await startGo(t, 'sh', {
        args: ['-c', EMULATED, 'sh', folder, path],
        env: { GOTRACEBACK: 'crash' },
      });
      const traceback = parseTraceback(await program.quit());
      const file = readdirSync(folder).find((name) => /^qemu_.*\.core$/.test(name));
      if (file === undefined) throw new Error(`no core: ${readdirSync(folder).join()}`);
      const core = openCore(join(folder, file));
      const opened = openCorePrograms(core, { bin: path });
      const [analyzed] = opened.programs;
      t.teardown(() => {
        opened.close();
        core.close();
      });
      const goroutines = [...listGoroutines(analyzed, 'stack')];
      t.equal(analyzed.image.arch, 'arm64');
      // Printed first and dumped afterwards: a goroutine that ran while it was printed may be parked in the core.
      const ran = new Set(traceback.filter(({ status }) => status === 'running').map(({ goid }) => goid));
      const mayMove = ({ goid }: { goid: number }): boolean => ran.has(goid);
      const { differences, compared } = compareWithTraceback(goroutines, traceback, { mayMove });
      t.same(differences, []);
      t.ok(compared.goroutines >= MANY, `${compared.goroutines} goroutines and ${compared.frames} frames compared`);
      const explained = [...analyzed.goroutines()].map((g) => explainStack(analyzed, g));
      t.same(
        explained.map(({ steps }) => steps.flatMap((step) => step.frames)),
        goroutines.map(({ frames }) => frames),
        'gospy explain has the same frames',
      );
      const rules = new Set(explained.flatMap(({ steps }) => steps.map(({ rule }) => rule)));
      t.ok(rules.has('faked-call'), `the rules that were taken: ${[...rules].sort().join(' ')}`);
    });
  }
}

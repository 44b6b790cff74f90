import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { explainStack } from '../../analyze/report/explain.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { openCore } from '../../snapshots/elf/core-image.js';
import { openCorePrograms } from '../../src/targets/core-files.js';
import { compareWithTraceback } from '../support/compare.js';
import { isFree } from '../capture/targets.js';
import { gospy } from '../src/gospy-process.js';
import { dumpEmulated, requireEmulator, startEmulated } from '../support/emulated.js';
import { buildGo, requireGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { cellName, PARK_ARM64_CELLS } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';

const MANY = 80;

if (requireGo(t) && requireEmulator(t)) {
  for (const cell of PARK_ARM64_CELLS.slice(-1)) {
    t.test(`live: what an emulator runs is refused, since the registers are its own (${cellName(cell)})`, async (t) => {
      const { pid } = await startEmulated(t, await buildGo(cell));
      const folder = temporaryFolder(t);
      for (const mode of ['stop', 'clone', 'live']) {
        const args = ['capture', '--pid', String(pid), '--mode', mode, '-o', join(folder, 'emulated.gsp')];
        const { code, stderr } = await gospy(args);
        t.equal(code, 6);
        t.match(stderr, /is for arm64, and its threads run on amd64.*emulator/);
      }
      t.same(readdirSync(folder), []);
      t.ok(isFree(pid), 'the program is free');
    });
  }

  for (const cell of PARK_ARM64_CELLS) {
    t.test(`core: every parked goroutine is where the program says it is (arm64, ${cellName(cell)})`, async (t) => {
      const path = await buildGo(cell);
      const dumped = await dumpEmulated(t, path);
      const traceback = parseTraceback(dumped.stderr);
      const core = openCore(dumped.core);
      const opened = openCorePrograms(core, { bin: path });
      const [analyzed] = opened.programs;
      t.teardown(() => {
        opened.close();
        core.close();
      });
      const goroutines = [...listGoroutines(analyzed, 'stack')];
      t.equal(analyzed.image.arch, 'arm64');
      // Printed first and dumped afterwards: a goroutine that ran while it was printed, or came back from a system call, may be
      // parked in the core.
      const ran = new Set(traceback.filter(({ status }) => /^(running|syscall)$/.test(status)).map(({ goid }) => goid));
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

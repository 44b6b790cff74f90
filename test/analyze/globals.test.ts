import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { GlobalChecks } from '../../analyze/runtime/global-checks.js';
import { scanForGlobals } from '../../analyze/runtime/global-scan.js';
import { buildGo, requireGo } from '../support/go.js';
import { TESTED_RELEASES } from '../support/releases.js';
import { readDebugInfo } from './debuginfo.js';
import { loadBias, loaded, restingImage } from './live-program.js';

for (const release of TESTED_RELEASES) {
  for (const link of ['plain', 'pie', 'cgo'] as const) {
    t.test(
      `globals: found in Go ${release} ${link}, by code and by shape, where the symbol table has them`,
      async (t) => {
        if (!requireGo(t)) return;
        const path = await buildGo({ fixture: 'park', release, link });
        const { variables, entry } = await readDebugInfo(path);
        const image = await restingImage(t, path);
        const bias = loadBias(image.pid, entry);
        const symbol = (name: string): number | null => loaded(variables[name], bias);
        const program = openProgram(image);
        const { globals } = program;

        t.same(program.warnings, []);
        t.same(globals.notes, [], 'each was found by the code that refers to it');
        const names = [
          'allgs',
          'allp',
          'allm',
          'sched',
          'g0',
          'm0',
          'gomaxprocs',
          'gcphase',
          'waitReasonStrings',
        ] as const;
        for (const name of names) t.equal(globals[name], symbol(name), name);
        t.equal(globals.alllink, program.layouts.of('m').offset('alllink'), 'alllink');

        const [runtime] = program.code.modules;
        if (runtime === undefined) throw new Error('no module');
        const checks = new GlobalChecks(program.memory, program.layouts);
        const byShape = scanForGlobals(program.memory, runtime.module, checks);
        for (const name of ['allgs', 'allp', 'allm', 'sched', 'g0'] as const) {
          t.equal(byShape[name], symbol(name), `${name} by shape`);
        }
      },
    );
  }
}

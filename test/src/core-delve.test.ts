import t from 'tap';
import { compareWithTraceback } from '../support/compare.js';
import { compareWithDelve } from '../support/compare-delve.js';
import { readCore } from '../support/core-goroutines.js';
import { crash } from '../support/cores.js';
import { buildDelve, Delve } from '../support/delve.js';
import { buildGo, requireGo } from '../support/go.js';
import { CORE_PROGRAMS, coreProgramName } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';

if (requireGo(t)) {
  t.before(() => buildDelve());
  for (const program of CORE_PROGRAMS) {
    t.test(`core: gospy agrees with Delve and with the program itself (${coreProgramName(program)})`, async (t) => {
      const path = await buildGo(program.cell);
      const args = program.plugin === undefined ? program.args : [await buildGo(program.plugin)];
      const { core, stderr } = await crash(t, path, {
        args,
        ...(program.signal === undefined ? {} : { signal: program.signal }),
      });
      const { goroutines, warnings, target } = readCore(core);
      t.same(warnings, []);
      const broken = goroutines.filter(({ truncated }) => truncated !== null);
      t.same(
        broken.map(({ goid, truncated }) => `${goid}: ${truncated ?? ''}`),
        [],
        'every stack is followed to its end',
      );

      const traceback = compareWithTraceback(goroutines, parseTraceback(stderr), { labels: true });
      t.same(traceback.differences, [], 'as the program says');
      t.ok(traceback.compared.goroutines > 3, `${traceback.compared.goroutines} parked goroutines compared`);
      t.equal(target.crash?.endedBy, 'SIGABRT');
      if (program.fault !== undefined) t.match(target.crash, program.fault(stderr), 'the fault is named');

      const delve = await Delve.open(t, path, core);
      const { differences, compared } = await compareWithDelve(goroutines, delve, {
        places: program.plugin === undefined,
      });
      delve.close();
      t.same(differences, [], 'as Delve says');
      t.equal(compared.goroutines, goroutines.length);
    });
  }
}

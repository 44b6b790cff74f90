import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { NODES, requireNode } from '../support/nodes.js';
import { gospy } from './gospy-process.js';

const MODES = ['stop', 'clone', 'live'];
const REPORTS = [['summary'], ['goroutines', '--json'], ['waits']];

/** Tests of what differs between engines. */
const TESTS = ['snapshots/gsp/read-ahead.test.js'];

for (const release of NODES) {
  t.test(`with Node ${release}: tests that depend on the engine`, async (t) => {
    const node = await requireNode(t, release);
    if (node === null) return;
    for (const name of TESTS) {
      const test = fileURLToPath(new URL(`../${name}`, import.meta.url));
      const { code, stdout } = await gospy([], { node, command: test });
      t.equal(
        code,
        0,
        `${name}: ${stdout
          .split('\n')
          .filter((line) => /^ *not ok/.test(line))
          .join('; ')}`,
      );
    }
  });

  t.test(`with Node ${release}: the same answers, and nothing else is written`, async (t) => {
    const node = await requireNode(t, release);
    if (node === null || !requireGo(t)) return;
    t.match(await gospy(['--version'], { node }), { code: 0, stderr: '' });
    const path = await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' });
    const { pid } = await startGo(t, path, { args: ['-n', '100'] });
    const file = join(temporaryFolder(t), 'other.gsp');
    for (const mode of MODES) {
      const capture = ['capture', '--pid', `${pid}`, '--mode', mode, '--json', '-o', file];
      t.match(await gospy(capture, { node }), { code: 0, stderr: '' }, mode);
      const here = await gospy(['summary', file]);
      t.equal(here.code, 0);
      t.same(await gospy(['summary', file], { node }), here, mode);
    }
    for (const report of REPORTS) {
      t.same(await gospy([...report, file], { node }), await gospy([...report, file]), report.join(' '));
    }
  });
}

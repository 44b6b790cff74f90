import { join } from 'node:path';
import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { gospy } from '../src/gospy-process.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';

interface Report {
  readonly partial: boolean;
  readonly pauseNs: number;
  readonly warnings: readonly { readonly code: string }[];
}

const GOROUTINES = 10_000;

if (requireGo(t)) {
  t.test('budget: after it the program is let go, and the snapshot says what is missing', async (t) => {
    const args = ['-n', String(GOROUTINES)];
    const program = await startGo(t, await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' }), { args });
    const path = join(temporaryFolder(t), 'many.gsp');
    const capture = ['capture', '--pid', String(program.pid), '-o', path, '--json'];

    const short = await gospy([...capture, '--budget', '0.01']);
    t.equal(short.code, 0);
    const report = JSON.parse(short.stdout) as Report;
    t.ok(report.partial, 'partial');
    t.ok(
      report.warnings.some(({ code }) => ['over-budget', 'thread-not-stopped'].includes(code)),
      'and why',
    );
    const image = openSnapshot(path);
    t.equal(image.capture.partial, true);
    const goroutines = [...listGoroutines(openProgram(image), 'stack')];
    const parked = goroutines.filter((g) => g.frames.at(-1)?.func === 'runtime.goexit');
    t.ok(parked.length >= GOROUTINES, `${parked.length} whole stacks`);
    t.same(image.damage, []);
    image.close();
    t.equal((await gospy(['info', path])).code, 0);
    t.equal((await gospy([...capture, '--budget', '0.01', '--strict'])).code, 7);

    const long = await gospy([...capture, '--budget', '60000', '--strict']);
    t.equal(long.code, 0);
    t.equal((JSON.parse(long.stdout) as Report).partial, false);
    t.ok(Number(await program.ask('count')) > 0, 'the program goes on');
  });
}

t.test('budget: an invalid budget is a usage error', async (t) => {
  for (const args of [
    ['--budget', '0'],
    ['--budget', 'soon'],
    ['--budget', '-1'],
    ['--budget', '5', '--mode', 'live'],
  ]) {
    const { code, stderr } = await gospy(['capture', '--pid', '1', '-o', '/dev/null', ...args]);
    t.equal(code, 2);
    t.match(stderr, /budget/);
  }
});

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { RELEASES } from '../support/releases.js';
import { gospy } from './gospy-process.js';

const RELEASE = '1.24';
/** A patch release that no table will ever have, whose name is as long. */
const NEWER = '1.24.99';

/** Builds a program and has it say that a newer patch release built it. */
async function buildByNewerRelease(folder: string): Promise<string> {
  const program = readFileSync(await buildGo({ fixture: 'park', release: RELEASE, link: 'stripped' }));
  for (let at = -1; (at = program.indexOf(`go${RELEASES[RELEASE]}`, at + 1)) >= 0;) program.write(`go${NEWER}`, at);
  const path = join(folder, 'park');
  writeFileSync(path, program, { mode: 0o755 });
  return path;
}

t.test('warnings: every way to look at a program says that its release is not certain', async (t) => {
  if (!requireGo(t)) return;
  const program = await startGo(t, await buildByNewerRelease(temporaryFolder(t)));
  const pid = ['--pid', String(program.pid)];
  const summary = await gospy(['summary', ...pid, '--json']);
  const { target, warnings } = JSON.parse(summary.stdout) as {
    target: { goVersion: string };
    warnings: { code: string }[];
  };
  t.equal(target.goVersion, NEWER);
  t.match(warnings, [{ code: 'layout-newer-patch' }]);
  for (const args of [
    ['summary', ...pid],
    ['goroutines', ...pid],
    ['stacks', ...pid, '--limit', '1'],
    ['threads', ...pid],
    ['top', ...pid, '--once'],
    ['top', ...pid, '--once', '--mode', 'stop'],
  ]) {
    const { code, stderr } = await gospy(args);
    t.equal(code, 0);
    t.equal(stderr.match(/warning: layout-newer-patch/g)?.length, 1, args.join(' '));
  }
});

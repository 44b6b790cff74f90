import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { parseTraceback } from '../support/traceback.js';
import { gospy, type Ended } from './gospy-process.js';

const CORE = fileURLToPath(new URL('../../../snapshots/samples/core.gz', import.meta.url));

/** Runs gospy with a pipe as its standard output. What comes out of that goes into the command in `to`. */
function piped(args: readonly string[], to: string): Promise<Ended> {
  return gospy(args, { under: ['bash', '-c', `set -o pipefail; "$@" | ${to}`, 'bash'] });
}

async function read(args: readonly string[]): Promise<unknown> {
  return JSON.parse((await gospy([...args, '--json'])).stdout);
}

t.test('capture: a snapshot goes through a pipe, whole', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo({ fixture: 'park', release: '1.27', link: 'stripped' }));
  await untilQuiet(running.pid);
  const path = join(temporaryFolder(t), 'snap.gsp');
  const ended = await piped(['capture', '--pid', String(running.pid), '-o', '-'], `cat > ${path}`);
  t.match(ended, { code: 0, stdout: '', stderr: /^standard output: .* goroutines .*\nThe process stood still for / });
  t.match(await read(['info', path]), { ok: true, problems: [] });
  const { goroutines } = (await read(['goroutines', path])) as { goroutines: { goid: number }[] };
  const printed = parseTraceback(await running.quit()).map(({ goid }) => goid);
  t.ok(printed.length > 50 && printed.every((id) => goroutines.some(({ goid }) => goid === id)), 'all that Go prints');
});

t.test('capture: a pipe gets the same bytes as a file', async (t) => {
  const folder = temporaryFolder(t);
  const [through, direct] = [join(folder, 'through.gsp'), join(folder, 'direct.gsp')];
  t.equal((await piped(['capture', '--core', CORE, '-o', '-'], `cat > ${through}`)).code, 0);
  t.equal((await gospy(['capture', '--core', CORE, '-o', direct])).code, 0);
  t.ok(readFileSync(through).equals(readFileSync(direct)));
});

t.test('capture: standard output that does not take a snapshot', async (t) => {
  const args = ['capture', '--core', CORE, '-o', '-'];
  t.match(await gospy([...args, '--json']), { code: 2, stdout: '', stderr: /-o - and --json/ });
  t.match(await gospy(args, { stdoutPath: '/dev/full' }), { code: 5, stderr: /no space is left/ });
  t.match(await piped(args, 'true'), { code: 0, stdout: '', stderr: '' }, 'a reader that is gone');
  const terminal = await gospy(args, { under: ['bash', '-c', 'script -qec "$*" /dev/null', 'bash'] });
  t.match(terminal, { code: 2, stdout: /standard output is a terminal/ });
  t.notOk(existsSync('-'), 'there is no file of that name');
});

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../support/gsp.js';
import { startGoTarget, statusField } from './go-target.js';
import { gospy } from './gospy-process.js';

interface Document {
  readonly schema: string;
  readonly ok: boolean;
  readonly checks: readonly { name: string; ok: boolean | null }[];
  readonly process: null | {
    readonly pid: number;
    readonly checks: readonly { name: string; ok: boolean | null }[];
    readonly modes: readonly { mode: string; works: boolean; reason: string | null; predictedPauseNs: number | null }[];
  };
  readonly target: null | { readonly bin: string; readonly goVersion: string };
}

const folder = join(temporaryFolder(t), 'served');
mkdirSync(folder);

async function diagnosis(...args: string[]): Promise<{ code: number | null; stderr: string; document: Document }> {
  const { code, stdout, stderr } = await gospy(['doctor', '--json', ...args]);
  return { code, stderr, document: JSON.parse(stdout) as Document };
}

t.test('doctor: reports on this machine', async (t) => {
  const { code, stderr, document } = await diagnosis();
  t.equal(code, 0);
  t.equal(stderr, '');
  t.match(document, { schema: 'gospy.doctor/1', process: null, target: null });
  t.same(
    document.checks.map(({ name }) => name),
    ['node', 'platform', 'proc', 'native', 'tracing', 'privileges'],
  );
  const text = await gospy(['doctor']);
  t.equal(text.code, 0);
  t.match(text.stdout, `Node ${process.versions.node}`);
});

t.test('doctor --pid: reports on a Go program and does not touch it', async (t) => {
  const target = await startGoTarget(t, folder);
  const { code, document } = await diagnosis('--pid', `${target.pid}`);
  t.equal(code, 0);
  t.equal(document.ok, true);
  t.equal(document.target?.bin, target.path);
  t.match(document.target?.goVersion, /^1\.\d+/);
  t.match(document.process?.modes, [
    { mode: 'stop', works: true, reason: null, predictedPauseNs: Number },
    { mode: 'clone', works: true, reason: null, predictedPauseNs: Number },
    { mode: 'live', works: true, reason: null, predictedPauseNs: 0 },
  ]);
  t.equal(statusField(target.pid, 'TracerPid'), '0');
});

t.test('doctor --pid: ends as a capture would', async (t) => {
  const notGo = await diagnosis('--pid', `${process.pid}`);
  t.equal(notGo.code, 3);
  t.equal(notGo.document.ok, false);
  t.match(notGo.stderr, /Go/);
  t.equal(notGo.document.process?.checks.find(({ name }) => name === 'go')?.ok, false);

  const none = await diagnosis('--pid', '2147483647');
  t.equal(none.code, 3);
  t.match(none.stderr, /no process 2147483647/);
  t.same(
    none.document.process?.modes.map(({ works }) => works),
    [false, false, false],
  );
});

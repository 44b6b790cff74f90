import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { eventually } from '../support/eventually.js';
import { temporaryFolder } from '../support/gsp.js';
import { gospy, interruptedAt } from './gospy-process.js';

const folder = temporaryFolder(t);

function emptyFolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

/** True while the process runs; a zombie has ended. */
function runs(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

t.test('demo: shows the whole story and leaves nothing', async (t) => {
  const temporary = emptyFolder('story');
  const { code, stdout, stderr } = await gospy(['demo'], { env: { TMPDIR: temporary } });
  t.equal(code, 0, stderr);
  t.match(
    stdout,
    /^The process stood still for [\d.]+ (us|ms)(, and \d+ late threads? for [\d.]+ (us|ms) at most)?\.$/m,
  );
  t.match(stdout, /^bin: .*esbuild, goVer: 1\.\d+/m);
  t.match(stdout, /^1 - waiting for .*: runtime\.main \(/m);
  t.match(stdout, /still answers/);
  t.same(readdirSync(temporary), []);
  const pid = Number(/\(pid (\d+)\)/.exec(stdout)?.[1]);
  t.ok(pid > 0 && !runs(pid), `process ${pid} was ended`);
});

t.test('demo: ends its program when it is interrupted', async (t) => {
  const temporary = emptyFolder('interrupted');
  const { code, stdout } = await interruptedAt('output', 'SIGINT', ['demo'], { env: { TMPDIR: temporary } });
  t.equal(code, 130);
  t.same(readdirSync(temporary), []);
  const pid = Number(/\(pid (\d+)\)/.exec(stdout)?.[1]);
  t.ok(pid > 0, stdout);
  await eventually(() => (runs(pid) ? null : true), `the end of process ${pid}`);
});

t.test('demo: the sample for machines without tracing is whole', async (t) => {
  const sample = fileURLToPath(new URL('../../../snapshots/samples/queue.gsp', import.meta.url));
  t.match(await gospy(['info', sample]), { code: 0, stderr: '' });
  const { code, stdout, stderr } = await gospy(['summary', sample]);
  t.match({ code, stderr }, { code: 0, stderr: '' });
  t.match(stdout, /^bin: .*queue, goVer: 1\.26\.8, gomaxprocs: \d+$/m);
  t.match(stdout, /^\d+ - waiting for sync\.Mutex\.Lock: main\.\(\*queue\)\.stats \(/m);
});

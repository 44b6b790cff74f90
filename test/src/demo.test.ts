import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryFolder } from '../support/gsp.js';
import { GOSPY, gospy } from './gospy-process.js';

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

t.test('demo: tells the whole story, and leaves nothing behind', async (t) => {
  const temporary = emptyFolder('story');
  const { code, stdout, stderr } = await gospy(['demo'], { env: { TMPDIR: temporary } });
  t.equal(code, 0, stderr);
  t.match(stdout, /^The process stood still for [\d.]+ (us|ms)\.$/m);
  t.match(stdout, /^bin: .*esbuild, goVer: 1\.\d+/m);
  t.match(stdout, /^1 - waiting for .*: runtime\.main \(/m);
  t.match(stdout, /still answers/);
  t.same(readdirSync(temporary), []);
  const pid = Number(/\(pid (\d+)\)/.exec(stdout)?.[1]);
  t.ok(pid > 0 && !runs(pid), `process ${pid} was ended`);
});

t.test('demo: ends its program when it is interrupted', async (t) => {
  const temporary = emptyFolder('interrupted');
  const child = spawn(process.execPath, [GOSPY, 'demo'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, TMPDIR: temporary },
  });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [first] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGINT');
  const [code] = await ended;
  t.ok(code === 130 || code === 0, `exit code ${code ?? 'none'}`);
  t.same(readdirSync(temporary), []);
  const pid = Number(/\(pid (\d+)\)/.exec(first.toString('utf8'))?.[1]);
  for (let tries = 0; runs(pid) && tries < 250; tries++) await setTimeout(20);
  t.ok(pid > 0 && !runs(pid), `process ${pid} was ended`);
});

t.test('demo: a sample for machines on which nothing can be traced', async (t) => {
  const sample = fileURLToPath(new URL('../../../snapshots/samples/queue.gsp', import.meta.url));
  t.match(await gospy(['info', sample]), { code: 0, stderr: '' });
  const { code, stdout, stderr } = await gospy(['summary', sample]);
  t.match({ code, stderr }, { code: 0, stderr: '' });
  t.match(stdout, /^bin: .*queue, goVer: 1\.26\.8, gomaxprocs: \d+$/m);
  t.match(stdout, /^\d+ - waiting for sync\.Mutex\.Lock: main\.\(\*queue\)\.stats \(/m);
});

import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import type { GoroutineWithStack, Summary } from '../../analyze/report/model.js';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToFile, type CaptureMode } from '../../capture/capture.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { GOSPY, gospy } from '../src/gospy-process.js';
import { compareWithTraceback } from '../support/compare.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { parseTraceback } from '../support/traceback.js';
import { buildC, soon, until } from './targets.js';

/** On a busy machine. */
const LONG = { timeout: 300_000 };
/** What it was called at first. */
const PERMISSION = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';
const BUSY_CAPTURES = FULL_SIZE ? 20 : 6;
const KILLS = FULL_SIZE ? 24 : 12;
const PERMANENT = Array.from({ length: 20 }, (_, i) => `main.permanent${i}`);

function statusOf(pid: number): { state: string; tracer: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    state: /^State:\s+(\S)/m.exec(text)?.[1] ?? '?',
    tracer: Number(/^TracerPid:\s+(\d+)/m.exec(text)?.[1] ?? -1),
  };
}

/** Waits until the program is running, untraced, and getting on with its work. */
async function untilRunning(program: GoProcess, counter: string, after: string): Promise<void> {
  const first = Number(await program.ask(counter));
  await until(async () => {
    const { state, tracer } = statusOf(program.pid);
    return Number(await program.ask(counter)) > first && tracer === 0 && !'Tt'.includes(state);
  }, `the program to go on after ${after}`);
}

async function captured(program: GoProcess, path: string, mode: CaptureMode): Promise<GoroutineWithStack[]> {
  const { warnings } = await captureToFile(program.pid, path, { mode, writer: 'test' });
  if (warnings.length > 0) throw new Error(`the capture is not whole: ${JSON.stringify(warnings)}`);
  const image = openSnapshot(path);
  try {
    return [...listGoroutines(openProgram(image), 'stack')];
  } finally {
    image.close();
  }
}

if (requireGo(t)) {
  t.test('snapshot: gives the same answers without the executable', async (t) => {
    const folder = temporaryFolder(t);
    const executable = join(folder, 'park');
    copyFileSync(await buildGo({ fixture: 'park', release: '1.26', link: 'stripped-pie' }), executable);
    const program = await startGo(t, executable);
    const path = join(folder, 'park.gsp');
    t.equal((await gospy(['capture', '--pid', String(program.pid), '-o', path])).code, 0);
    const before = await gospy(['summary', path, '--json', '--pc', 'user']);
    await program.kill();
    rmSync(executable);
    const root = resolve(dirname(GOSPY), '../..');
    const modules = join(root, 'node_modules');
    // No pattern may begin like one before it: Node 20 exits at once then.
    const allowed = new Set([path, join(root, 'dist'), join(root, 'package.json'), modules, realpathSync(modules)]);
    // The test runner adds its own loader to every Node process that a test starts, by this variable.
    const { stdout } = await promisify(execFile)('env', [
      ...['-u', 'NODE_OPTIONS', process.execPath, PERMISSION],
      ...[...allowed].map((place) => `--allow-fs-read=${place}${isFile(place) ? '' : '/*'}`),
      ...[GOSPY, 'summary', path, '--json', '--pc', 'user'],
    ]);
    t.same(JSON.parse(stdout), JSON.parse(before.stdout));
    t.equal((JSON.parse(stdout) as Summary).target.bin, executable);
  });

  t.test('snapshot: a program whose executable was deleted can be captured', async (t) => {
    const executable = join(temporaryFolder(t), 'park');
    copyFileSync(await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' }), executable);
    const program = await startGo(t, executable);
    rmSync(executable);
    const goroutines = await captured(program, join(temporaryFolder(t), 'park.gsp'), 'stop');
    const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(await program.quit()));
    t.same(differences, []);
    t.ok(compared.goroutines > 40);
  });

  t.test('snapshot: a program that is not mapped from a file, as packers leave it, can be captured', async (t) => {
    const programs = buildC();
    t.teardown(() => programs.remove());
    const packed = await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' });
    const program = await startGo(t, programs.loader, { args: [packed] });
    const goroutines = await captured(program, join(temporaryFolder(t), 'park.gsp'), 'stop');
    const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(await program.quit()));
    t.same(differences, []);
    t.ok(compared.goroutines > 40);
  });

  t.test('capture: without a stop, parked goroutines are as exact', async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' }));
    const goroutines = await captured(program, join(temporaryFolder(t), 'park.gsp'), 'live');
    const parked = goroutines.filter(({ torn }) => !torn);
    const { differences, compared } = compareWithTraceback(parked, parseTraceback(await program.quit()));
    t.same(
      differences.filter((line) => !line.endsWith('but not listed')),
      [],
    );
    t.ok(compared.goroutines > 40);
  });

  for (const mode of ['stop', 'live'] as const) {
    t.test(`capture: a busy program is captured every time and goes on (mode ${mode})`, LONG, async (t) => {
      const program = await startGo(t, await buildGo({ fixture: 'busy', release: '1.26', link: 'stripped' }));
      const path = join(temporaryFolder(t), 'busy.gsp');
      for (let i = 0; i < BUSY_CAPTURES; i++) {
        const goroutines = await captured(program, path, mode);
        const starts = new Set(goroutines.map(({ entry }) => entry?.func));
        t.same(
          PERMANENT.filter((name) => !starts.has(name)),
          [],
          'all permanent goroutines are there',
        );
        const whole = goroutines.filter((g) => g.frames.at(-1)?.func === 'runtime.goexit');
        t.ok(goroutines.length > 10_000, `${goroutines.length} goroutines`);
        if (mode === 'stop') t.same(unfollowed(goroutines), [], 'every stack is followed to its end');
        t.ok(whole.length > 9_000, `${whole.length} whole stacks`);
      }
      await untilRunning(program, 'count', 'all captures');
    });
  }

  t.test('capture: gospy ended at any instant leaves the program running and no file behind', LONG, async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' }), {
      args: ['-n', '1000'],
    });
    const folder = temporaryFolder(t);
    const path = join(folder, 'many.gsp');
    for (let i = 0; i < KILLS; i++) {
      const signal = i % 2 === 0 ? 'SIGKILL' : 'SIGINT';
      const child = execFile(process.execPath, [GOSPY, 'capture', '--pid', String(program.pid), '-o', path]);
      const ended = new Promise((done) => child.once('close', done));
      await new Promise((done) => setTimeout(done, (700 * i) / KILLS));
      child.kill(signal);
      await soon(ended, 'the end of gospy');
      await untilRunning(program, 'count', `${signal} number ${i}`);
      if (existsSync(path)) {
        t.equal((await gospy(['info', path])).code, 0, 'a file under the final name is whole');
        rmSync(path);
      }
      if (signal === 'SIGINT') t.same(readdirSync(folder), [], 'nothing is left behind');
      for (const name of readdirSync(folder)) rmSync(join(folder, name));
    }
  });
}

/** Goroutines whose stack ends before its outermost function, but for those that the program was just making or ending. */
function unfollowed(goroutines: readonly GoroutineWithStack[]): string[] {
  return goroutines
    .filter(({ truncated }) => truncated !== null)
    .map(
      ({ goid, status, truncated, frames }) =>
        `${goid} ${status} ${truncated ?? ''} ${frames.map((f) => f.func).join(' ')}`,
    );
}

function isFile(path: string): boolean {
  return /\.(gsp|json)$/.test(path);
}

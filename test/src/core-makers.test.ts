import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { GoroutineWithStack, Summary } from '../../analyze/report/model.js';
import { openProgram } from '../../analyze/program.js';
import { captureToFile } from '../../capture/capture.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { compareWithTraceback, isMoving } from '../support/compare.js';
import { compareWithDelve } from '../support/compare-delve.js';
import { readCore } from '../support/core-goroutines.js';
import { crash, delveDump, gcore } from '../support/cores.js';
import { buildDelve, Delve } from '../support/delve.js';
import { DelveDap } from '../support/delve-dap.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { manyArm64, type Cell } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';
import { gospy } from './gospy-process.js';

const PARK: Cell = { fixture: 'park', release: '1.26', link: 'plain' };

/** Leaves out what depends on when a capture was made, which cores do not say, and the scavenger, which wakes in between. */
function timeless(goroutines: readonly GoroutineWithStack[]): unknown[] {
  return goroutines
    .filter((g) => !isMoving(g))
    .map((goroutine) => ({
      ...goroutine,
      waitSinceNs: null,
      work: goroutine.work.map(({ text, sure, ...work }) => ({
        ...{ ...work, text: text.replace(/, due (?:now|in .*? (?:ms|s|min|h)\b)/, '') },
        // A process that runs may be in another call by then.
        sure: sure || goroutine.status === 'syscall',
      })),
      waitsOn: goroutine.waitsOn.map((wait) => ({ ...wait, dueNs: undefined, deadlineNs: undefined })),
    }));
}

function withoutWork(goroutines: readonly GoroutineWithStack[]): GoroutineWithStack[] {
  return goroutines.map((goroutine) => ({ ...goroutine, work: [] }));
}

function readSnapshot(path: string): GoroutineWithStack[] {
  const image = openSnapshot(path);
  try {
    return [...listGoroutines(openProgram(image), 'stack')];
  } finally {
    image.close();
  }
}

async function json(args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await gospy([...args, '--json']);
  if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

if (requireGo(t)) {
  t.before(() => buildDelve());

  for (const link of ['stripped', 'pie', 'cgo'] as const) {
    t.test(`core: gcore, Delve's dump and a snapshot of an idle process agree in everything (${link})`, async (t) => {
      const program = await startGo(t, await buildGo({ ...PARK, link }));
      await untilQuiet(program.pid);
      const path = join(temporaryFolder(t), 'idle.gsp');
      await captureToFile(program.pid, path, { mode: 'stop', writer: 'test' });
      const snapshot = readSnapshot(path);
      const { ps, sched, goroutines: counts } = (await json(['summary', path])) as unknown as Summary;
      const cores = [await gcore(t, program.pid), await delveDump(t, program.pid)];
      const traceback = parseTraceback(await program.quit());
      t.same(compareWithTraceback(snapshot, traceback).differences, []);
      for (const core of cores) {
        const { goroutines, warnings, target } = readCore(core);
        t.same(timeless(goroutines), timeless(snapshot), core);
        t.same(warnings, []);
        t.equal(target.crash, null, 'a debugger wrote it: nothing crashed');
        const summary = (await json(['summary', core])) as unknown as Summary;
        t.same(withoutTicks(summary.ps), withoutTicks(ps));
        t.same([summary.sched, summary.goroutines], [sched, counts]);
      }
    });
  }

  for (const filter of ['0x1', '0x33', '0x7f']) {
    for (const link of ['stripped-pie', 'cgo'] as const) {
      t.test(`core: the kernel's, whatever it leaves out (${link}, coredump_filter ${filter})`, async (t) => {
        const { core, stderr } = await crash(t, await buildGo({ ...PARK, link }), {
          filter,
          signal: 'SIGABRT',
          atRest: true,
        });
        const { goroutines, warnings } = readCore(core);
        const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(stderr), { labels: true });
        t.same(differences, []);
        t.ok(compared.goroutines > 40);
        const unproven = warnings.filter((warning) => warning.startsWith('executable-unproven'));
        t.same(warnings.length, unproven.length, 'nothing else is warned of');
        t.equal(unproven.length, filter === '0x1' ? 1 : 0, 'without headers and code, the executable is not proven');
      });
    }
  }

  for (const release of ['1.21', '1.26'] as const) {
    t.test(`core: of an arm64 program, read on this machine (go${release})`, async (t) => {
      const path = await buildGo(manyArm64(release, 'stripped'));
      const { core, stderr } = await crash(t, path, {
        ...{ under: ['qemu-aarch64'], args: ['-n', '40'], signal: 'SIGABRT', named: /^qemu_/ },
      });
      const { goroutines, target } = readCore(core);
      const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(stderr));
      t.same(differences, []);
      t.ok(compared.goroutines > 40, `${compared.goroutines} goroutines and ${compared.frames} frames compared`);
      t.match(target, { arch: 'arm64', crash: { endedBy: 'SIGABRT' } });
    });
  }

  t.test(
    'capture --core: a core distilled into a snapshot gives the same answers, without the executable',
    async (t) => {
      const { core } = await crash(t, await buildGo({ ...PARK, link: 'stripped-pie' }), { signal: 'SIGABRT' });
      const path = join(temporaryFolder(t), 'core.gsp');
      const report = await json(['capture', '--core', core, '-o', path, '--values', 'full']);
      t.match(report, { schema: 'gospy.capture/1', path, mode: 'core', pauseNs: null, partial: false, warnings: [] });
      t.equal(statSync(path).mode & 0o777, 0o600);
      t.ok(statSync(path).size < 1e6, `${statSync(path).size} bytes`);
      const whole = readCore(core);
      t.same(readSnapshot(path), whole.goroutines);
      t.match(await json(['info', path]), { ok: true, target: { mode: 'core', crash: whole.target.crash } });
      for (const command of ['summary', 'stacks', 'threads', 'goroutines']) {
        const [ofCore, ofSnapshot] = await Promise.all([gospy([command, core]), gospy([command, path])]);
        t.same(ofSnapshot, ofCore, command);
      }
      t.match(await gospy(['capture', '--core', path, '-o', path]), { code: 5 });
      t.match(await gospy(['capture', '--core', core, '--pid', '1', '-o', path]), { code: 2 });
      t.match(await gospy(['capture', '-o', path]), { code: 2 });
    },
  );

  for (const link of ['plain', 'pie', 'cgo'] as const) {
    t.test(`export: a core of a snapshot shows Delve what the program says (${link})`, async (t) => {
      const executable = await buildGo({ ...PARK, link });
      const program = await startGo(t, executable);
      await untilQuiet(program.pid);
      const folder = temporaryFolder(t);
      const [snapshot, core] = [join(folder, 'snap.gsp'), join(folder, 'snap.core')];
      const { threads } = await captureToFile(program.pid, snapshot, { mode: 'stop', writer: 'test' });
      const goroutines = readSnapshot(snapshot);
      const { differences } = compareWithTraceback(goroutines, parseTraceback(await program.quit()));
      t.same(differences, [], 'the snapshot is what the program says');

      t.match(await gospy(['export', snapshot, '--format', 'core', '-o', core]), { code: 0, stderr: '' });
      t.equal(statSync(core).mode & 0o777, 0o600);
      const delve = await Delve.open(t, executable, core);
      const compared = await compareWithDelve(goroutines, delve);
      delve.close();
      t.same(compared.differences, []);
      t.equal(compared.compared.goroutines, goroutines.length);
      const dap = await DelveDap.open(t, executable, core);
      const listed = new Set(await dap.goids());
      t.same(goroutines.filter(({ goid }) => !listed.has(goid)), [], 'an editor lists all of them'); // prettier-ignore
      for (const { goid, frames } of goroutines.filter((g) => g.status === 'waiting' && !g.system)) {
        const shown = await dap.stack(goid);
        // An editor gets the last element of an import path only, and no place for wrappers that the compiler made.
        const expected = frames.map(({ func, file, line }, i) => [func.replace(/^.*\//, ''), shown[i]?.source === undefined ? null : `${file}:${line}`]); // prettier-ignore
        const places = shown.map(({ name, line, source }) => [name.replace(/\[.*\]/, '[...]'), source === undefined ? null : `${source.path}:${line}`]); // prettier-ignore
        t.same(places.slice(1), expected.slice(1), `the stack of ${goid}`);
      }
      dap.close();
      const again = readCore(core);
      // What goroutines work on was read of memory that the snapshot does not have, and so its core does not.
      t.same(timeless(withoutWork(again.goroutines)), timeless(withoutWork(goroutines)), 'and gospy reads it back');
      t.same(again.warnings, []);

      const script = ['-batch', '-ex', 'info threads', '-ex', 'thread apply all bt 2'];
      const { stdout } = await promisify(execFile)('gdb', [...script, executable, core]);
      t.equal([...stdout.matchAll(/^[* ] \d+ +(Thread|LWP)/gm)].length, threads, 'gdb shows every thread');
      t.match(stdout, /runtime\.futex/);
    });
  }

  t.test('export: a failed write leaves nothing', async (t) => {
    const folder = temporaryFolder(t);
    const { core } = await crash(t, await buildGo({ fixture: 'crash', release: '1.26', link: 'plain' }), {
      args: ['panic'],
    });
    t.match(await gospy(['export', core, '--format', 'core']), { code: 2 });
    t.match(await gospy(['export', core, '--format', 'odd', '-o', join(folder, 'x')]), { code: 2, stderr: /odd/ });
    t.match(await gospy(['export', core, '--format', 'core', '-o', folder]), { code: 5 });
    t.match(await gospy(['export', core, '--format', 'core', '-o', join(folder, 'none', 'x')]), { code: 5 });
    t.notOk(existsSync(join(folder, 'x')));
  });
}

/** Debuggers wake threads when they let them go, which schedules. */
function withoutTicks(ps: Summary['ps']): unknown[] {
  return ps.map(({ id, status, runqsize }) => ({ id, status, runqsize }));
}

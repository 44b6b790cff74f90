import { execFile } from 'node:child_process';
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { GoroutineWithStack, Summary } from '../../analyze/report/model.js';
import { openPrograms, type Programs } from '../../analyze/program.js';
import { summarizeAll, warningsOf } from '../../analyze/report/all-runtimes.js';
import type { Warning } from '../../analyze/warnings.js';
import { captureToFile } from '../../capture/capture.js';
import { plus } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { withParts } from '../../snapshots/image.js';
import { openTarget } from '../../src/targets/open-target.js';
import { gospyHere } from '../src/gospy-here.js';
import { withWord } from '../support/altered-memory.js';
import { crash } from '../support/cores.js';
import { compareWithTraceback } from '../support/compare.js';
import { buildGo, requireGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { PARK_CELLS, SEVERAL, type Cell } from '../support/releases.js';
import { severalLibraries, startCHost, startGoHost, type SeveralRuntimes } from '../support/several.js';

/** Goroutines of each runtime. */
const MANY = 6;
/** Programs that are mapped as data: at fixed addresses, and position-independent. */
const DATA: readonly Cell[] = PARK_CELLS.filter(
  ({ release, link }) => release === '1.26' && /^(plain|pie)$/.test(link),
);

const MODES = ['stop', 'clone', 'live'] as const;

/** The goroutines that run when a runtime prints, which are somewhere else before. */
const PRINTING = new Set(['main.main', 'main.callInto']);

/** The goroutine for calls from C: there is none between two calls, or it has no frames (needm in proc.go). */
const FOR_CALLS = 17;

/** Targets of each kind that show a process, with their names. It goes on running. gcore takes a second for each runtime. */
async function targetsOf(
  t: Test,
  { program }: SeveralRuntimes,
  withGcore: boolean,
): Promise<[name: string, file: string][]> {
  const folder = temporaryFolder(t);
  const targets: [string, string][] = [];
  for (const mode of MODES) {
    const file = join(folder, `${mode}.gsp`);
    const report = await captureToFile(program.pid, file, { mode, writer: 'test' });
    t.equal(report.mode, mode, `captured in mode ${mode}`);
    targets.push([mode, file]);
  }
  if (withGcore) {
    await promisify(execFile)('gcore', ['-o', join(folder, 'core'), String(program.pid)]);
    targets.push(['gcore', join(folder, `core.${program.pid}`)]);
  }
  const core = join(folder, 'exported.core');
  t.match(await gospyHere(['export', join(folder, 'stop.gsp'), '--format', 'core', '-o', core]), { code: 0 });
  targets.push(['an exported core', core]);
  return targets;
}

/** Every runtime is there, and its goroutines are where it says they are. */
async function agrees(t: Test, several: SeveralRuntimes, withGcore: boolean): Promise<void> {
  await untilQuiet(several.program.pid);
  const targets = await targetsOf(t, several, withGcore);
  const truth = await several.tracebacks();
  t.ok(several.program.alive(), 'the program lives');
  for (const [name, file] of targets) {
    const target = await openTarget({ file });
    t.same(
      target.programs.map(({ runtime }) => runtime.file).sort(),
      [...several.files.values()].sort(),
      `${name}: every runtime, and no other`,
    );
    t.same(
      target.programs.map(({ runtime }) => runtime.n),
      target.programs.map((_, i) => i + 1),
    );
    assertPlaces(t, name, target.programs, truth);
    t.same(target.warnings, [], `${name}: no warnings`);
    t.same(target.damage, []);
    target.close();
  }
}

function assertPlaces(
  t: Test,
  name: string,
  programs: Programs,
  truth: Awaited<ReturnType<SeveralRuntimes['tracebacks']>>,
): void {
  for (const program of programs) {
    const { file } = program.runtime;
    const goroutines = [...listGoroutines(program, 'stack')].filter(({ system }) => !system).map(asPrinted);
    const mayMove = ({ goid, frames, torn }: GoroutineWithStack): boolean =>
      torn || isIdle(goid, frames) || frames.some(({ func }) => PRINTING.has(func));
    const { differences, compared } = compareWithTraceback(goroutines, truth.get(file) ?? [], {
      mayMove,
      mayBeNew: (goid) => goid === FOR_CALLS,
    });
    t.same(differences, [], `${name}: ${file}`);
    t.ok(compared.goroutines >= MANY, `${name}: ${compared.goroutines} goroutines of ${file}`);
  }
}

/** A goroutine as runtime.Stack prints it, which leaves out the runtime's own functions and wrappers (traceback.go). */
function asPrinted(goroutine: GoroutineWithStack): GoroutineWithStack {
  const { start, entry } = goroutine;
  const wrapper = start?.func === entry?.func ? null : start?.func;
  const isShown = ({ func }: { func: string }): boolean => !func.startsWith('runtime.') && func !== wrapper;
  return { ...goroutine, frames: goroutine.frames.filter(isShown) };
}

function isIdle(goid: number, frames: GoroutineWithStack['frames']): boolean {
  return goid === FOR_CALLS && frames.length === 0;
}

if (requireGo(t)) {
  t.test('runtimes: a Go program and a library of another release', async (t) => {
    const libraries = await severalLibraries(t);
    await agrees(t, await startGoHost(t, [libraries.old]), true);
  });

  t.test('runtimes: a C program with libraries of two releases, one of them twice', async (t) => {
    const libraries = await severalLibraries(t);
    await agrees(t, await startCHost(t, [libraries.new, libraries.old, libraries.again]), false);
  });

  t.test('runtimes: one that has not started, or is not known, is a warning, and the others are shown', async (t) => {
    const libraries = await severalLibraries(t);
    const { program } = await startCHost(t, [libraries.new, libraries.old]);
    const file = join(temporaryFolder(t), 'snap.gsp');
    await captureToFile(program.pid, file, { mode: 'stop', writer: 'test' });
    const image = openSnapshot(file);
    t.teardown(() => image.close());
    for (const lost of openPrograms(image)) {
      // The lists of a runtime are empty before it has started.
      const { allgs, allp, allm } = lost.globals;
      const unset = [allgs, plus(allgs, 8), allp, plus(allp, 8), allm];
      const memory = unset.reduce((altered, at) => withWord(altered, at, 0), image.memory);
      const programs = openPrograms(withParts(image, { memory }));
      const others = Object.values(libraries).filter((path) => path !== lost.runtime.file && path !== libraries.again);
      t.same(
        programs.map(({ runtime }) => [runtime.n, runtime.file]),
        others.map((path) => [1, path]),
      );
      const [warning, ...more] = warningsOf(programs);
      t.match(warning, { code: 'runtime-unreadable', message: `${lost.runtime.file} has a Go runtime too` });
      t.notOk(warning !== undefined && 'runtime' in warning, 'it is about none of those that are shown');
      t.same(more, []);
      t.match(summarizeAll(programs), { warnings: [warning], value: { runtimes: [{ file: others[0] }] } });
    }
  });

  t.test('runtimes: files that are mapped as data are none', async (t) => {
    const path = await buildGo(SEVERAL.host);
    const { new: library } = await severalLibraries(t);
    const others = await Promise.all(DATA.map(buildGo));
    const { program } = await startGoHost(
      t,
      [library],
      [path, library, ...others].map((file) => `map:${file}`),
    );
    const file = join(temporaryFolder(t), 'mapped.gsp');
    const { runtimes, warnings } = await captureToFile(program.pid, file, { mode: 'stop', writer: 'test' });
    t.same(
      runtimes.map((runtime) => runtime.file),
      [path, library],
    );
    t.same(warnings, []);
  });

  t.test('runtimes: a thread that calls from one into another has an M in both', async (t) => {
    const { old } = await severalLibraries(t);
    const { program, path } = await startGoHost(t, [old], ['hold', 'spin']);
    const file = join(temporaryFolder(t), 'calls.gsp');
    await captureToFile(program.pid, file, { mode: 'stop', writer: 'test' });
    t.ok(program.alive());
    const target = await openTarget({ file });
    t.teardown(() => target.close());
    const [host, library] = target.programs.map((one) => [...listGoroutines(one, 'stack')]);
    for (const [func, status] of [
      ['main.hold', /^waiting$/],
      // What spins is preempted now and then.
      ['main.spin', /^(running|runnable)$/],
    ] as const) {
      const inside = library?.find(({ frames }) => frames.some((frame) => frame.func === func));
      t.match(inside, { status, truncated: null, thread: inside?.status === 'running' ? Object : null }, func);
      const names = inside?.frames.map((frame) => frame.func) ?? [];
      const exported = func === 'main.hold' ? 'main.Hold' : 'main.Spin';
      t.same(
        names.filter((name) => name.startsWith('main.')),
        [func, exported],
      );
    }
    const callers = host?.filter(({ frames }) => frames.some((frame) => frame.func === 'main.callInto')) ?? [];
    t.equal(callers.length, 2);
    for (const caller of callers) t.match(caller, { status: 'syscall', truncated: null, current: { func: /cgocall/ } });
    for (const { frames } of callers) t.notOk(frames.some(({ func }) => /hold|spin/i.test(func)));
    t.equal(target.programs[0].runtime.file, path);
  });

  t.test('runtimes: a crash is that of the library which panicked', async (t) => {
    const { new: library } = await severalLibraries(t);
    const { core } = await crash(t, await buildGo(SEVERAL.host), { args: [library, 'crash'], ready: null });
    const { stdout } = await gospyHere(['summary', core, '--json']);
    const { target, runtimes } = JSON.parse(stdout) as Pick<Summary, 'target' | 'runtimes'>;
    t.match(target.crash, {
      signal: 'SIGABRT',
      runtime: runtimes.find(({ file }) => file === library)?.n ?? 0,
      goid: Number,
    });

    // The kernel left out what is in the library's file.
    unlinkSync(library);
    const without = JSON.parse((await gospyHere(['summary', core, '--json'])).stdout) as Summary & {
      readonly warnings: readonly Warning[];
    };
    t.same(
      without.runtimes.map(({ file }) => file),
      [target.bin],
    );
    t.match(without.warnings, [
      { code: 'runtime-unreadable', message: `${library} has a Go runtime too, which is not shown` },
    ]);
  });
}

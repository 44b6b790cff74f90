import { join } from 'node:path';
import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import type { Warning } from '../../analyze/warnings.js';
import { captureToFile } from '../../capture/capture.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { gospy } from '../src/gospy-process.js';
import { compareWithTraceback } from '../support/compare.js';
import { crash } from '../support/cores.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { cellName, GARBLE_CELLS } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';

interface Listed {
  readonly target: { readonly goVersion: string };
  readonly goroutines: readonly GoroutineWithStack[];
}

const CODES = ['function-table-altered', 'version-guessed'];

function codes(warnings: readonly Warning[]): string[] {
  return [...new Set(warnings.map(({ code }) => code))].sort();
}

async function list(...target: readonly string[]): Promise<Listed> {
  const { stdout } = await gospy(['goroutines', ...target, '--json']);
  return JSON.parse(stdout) as Listed;
}

/** Their folder has another name. */
const RUNTIME_FILES = /\/((?:proc|chan|select|sema|time|netpoll|coro|panic)\.go)$/;

t.setTimeout(600_000);

if (requireGo(t)) {
  for (const cell of GARBLE_CELLS) {
    // With -tiny a program prints no traceback: what is left is the same source, built without it.
    const isTiny = cell.garble.flags?.includes('-tiny') === true;
    const plain = isTiny ? { ...cell, garble: { version: cell.garble.version } } : cell;

    t.test(`garble: a process and a snapshot of it are read exactly (${cellName(cell)})`, async (t) => {
      const target = await startGo(t, await buildGo(cell));
      await untilQuiet(target.pid);
      const path = join(temporaryFolder(t), 'garbled.gsp');
      await captureToFile(target.pid, path, { mode: 'stop', writer: 'test' });
      const live = await list('--pid', `${target.pid}`);
      const image = openSnapshot(path);
      t.teardown(() => image.close());
      const program = openProgram(image);
      const goroutines = [...listGoroutines(program, 'stack')];
      t.equal(program.version.text, cell.release);
      t.equal(live.target.goVersion, cell.release);
      t.same(
        goroutines.filter(({ truncated }) => truncated !== null),
        [],
      );
      if (isTiny) {
        t.same(codes(program.warnings), [...CODES, 'globals-second-way', 'names-removed'].sort());
        const other = await startGo(t, await buildGo(plain));
        await untilQuiet(other.pid);
        const named = await list('--pid', `${other.pid}`);
        t.same(shapes(goroutines), shapes(named.goroutines));
        t.same(shapes(live.goroutines), shapes(named.goroutines));
        return;
      }
      t.same(codes(program.warnings), CODES);
      const traceback = parseTraceback(await target.quit());
      for (const found of [goroutines, live.goroutines]) {
        const { differences, compared } = compareWithTraceback(found, traceback, { labels: true });
        t.same(differences, []);
        t.ok(compared.goroutines > 40, `${compared.goroutines} goroutines compared`);
      }
    });

    if (isTiny) continue;
    t.test(`garble: a core is read exactly, with what its executable lends (${cellName(cell)})`, async (t) => {
      const { core, stderr } = await crash(t, await buildGo(cell), { signal: 'SIGABRT' });
      const { goroutines, target } = await list(core);
      t.equal(target.goVersion, cell.release);
      const { differences, compared } = compareWithTraceback(goroutines, parseTraceback(stderr), { labels: true });
      t.same(differences, []);
      t.ok(compared.goroutines > 40, `${compared.goroutines} goroutines compared`);
    });
  }
}

/** How many goroutines wait for what, and in which of the runtime's files; -tiny takes lines out of these. */
function shapes(goroutines: readonly GoroutineWithStack[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { status, waitReason, system, labels, lockedToThread, frames } of goroutines) {
    const files = frames.flatMap(({ file }) => RUNTIME_FILES.exec(file)?.[1] ?? []);
    const shape = JSON.stringify([status, waitReason, system, labels, lockedToThread, frames.length, files]);
    counts.set(shape, (counts.get(shape) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}

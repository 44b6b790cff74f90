import t from 'tap';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { pclntabRange } from '../../analyze/runtime/find-module-data.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { plus, type Addr } from '../../snapshots/address.js';
import { withParts, type ProcessImage } from '../../snapshots/image.js';
import { LayeredSource, Memory, SegmentSource } from '../../snapshots/memory.js';
import { compareWithTraceback, isMoving } from '../support/compare.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { untilQuiet } from '../support/quiet.js';
import { RELEASES, TESTED_RELEASES, type Release } from '../support/releases.js';
import { parseTraceback, type TracedGoroutine } from '../support/traceback.js';

/** Texts of the version where two minor releases are the same in all that is read. */
const TOLD: Partial<Record<Release, string>> = { '1.19': '1.18 or 1.19' };
const SAME_NAMES = ['function-table-altered', 'version-guessed'];
/** Number of a multiplication by which garble hides the entries of functions (runtime_patch.go of garble). */
const KEY = 0x9e3779b1;

interface Bytes {
  readonly addr: Addr;
  readonly bytes: Uint8Array;
}

/** The image as garble would have left it: another first word, hidden entries, no version, and no names for `tiny`. */
function obfuscated(program: GoProgram, release: Release, tiny: boolean): ProcessImage {
  const { image, code } = program;
  const [table] = code.modules;
  if (table === undefined) throw new Error('no module');
  const { lo, hi } = pclntabRange(table.module);
  const bytes = Uint8Array.from(image.memory.bytes(lo, hi - lo));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x2f77ae1b, true);
  const { format } = table.module.pclntab;
  for (let i = 0; i < table.length && format.ftab === 'offsets'; i++) {
    const at = table.at(i).tables.addr - lo;
    const name = view.getUint32(at + format.func.name, true);
    view.setUint32(at, (view.getUint32(at, true) ^ Math.imul(name, KEY)) >>> 0, true);
  }
  const { data, length } = table.module.funcnametab;
  if (tiny) bytes.fill(0, data - lo, data - lo + length);
  const segments = [{ addr: lo, bytes }, ...versionsIn(image, `go${RELEASES[release]}`)];
  return withParts(image, {
    memory: new Memory(new LayeredSource([new SegmentSource(segments), image.memory.source])),
  });
}

/** Every place of a text in the mapped files, with another text of its length. */
function versionsIn({ memory, mappings, executable }: ProcessImage, text: string): Bytes[] {
  const other = Buffer.from('unknown'.padEnd(text.length, '!').slice(0, text.length));
  return mappings
    .filter(({ path, readable }) => readable && path === executable.path)
    .flatMap(({ start, end }) => {
      const here = Buffer.from(memory.bytes(start, end - start));
      const found: Bytes[] = [];
      for (let i = here.indexOf(text); i >= 0; i = here.indexOf(text, i + 1))
        found.push({ addr: plus(start, i), bytes: other });
      return found;
    });
}

/** What a program without names prints of its functions, for a comparison that leaves their names out. */
function withoutNames(traced: TracedGoroutine): TracedGoroutine {
  const unnamed = { func: null as unknown as string };
  const frames = traced.frames.map((frame) => ({ ...frame, ...unnamed }));
  return { ...traced, frames, creator: traced.creator === null ? null : { ...traced.creator, func: '' } };
}

function creatorWithoutName(goroutine: GoroutineWithStack): GoroutineWithStack {
  const { creator } = goroutine;
  return { ...goroutine, creator: creator === null ? null : { ...creator, func: '' } };
}

if (requireGo(t)) {
  for (const release of TESTED_RELEASES) {
    t.test(`obfuscated: Go ${release} is read exactly with an altered table, no version and no names`, async (t) => {
      const target = await startGo(t, await buildGo({ fixture: 'park', release, link: 'stripped' }));
      await untilQuiet(target.pid);
      const live = new LiveProcess(target.pid, 'read');
      t.teardown(() => live.close());
      const whole = openProgram(live.image());
      const expected = TOLD[release] ?? release;

      const renamed = openProgram(obfuscated(whole, release, false));
      t.equal(renamed.version.text, expected);
      const goroutines = [...listGoroutines(renamed, 'stack')];
      t.same(
        renamed.warnings.map(({ code }) => code),
        SAME_NAMES,
      );

      // Before Go 1.16, names lie among the functions.
      const hasNameTable = whole.code.modules[0]?.module.pclntab.format.parts !== null;
      const nameless = hasNameTable ? openProgram(obfuscated(whole, release, true)) : null;
      const unnamed = nameless === null ? [] : [...listGoroutines(nameless, 'stack')];
      const system = [...listGoroutines(whole, 'plain')].filter((g) => g.system).map(({ goid }) => goid);

      const traceback = parseTraceback(await target.quit());
      const { differences, compared } = compareWithTraceback(goroutines, traceback, { labels: true });
      t.same(differences, []);
      t.ok(compared.goroutines > 40, `${compared.goroutines} goroutines compared`);
      if (nameless === null) return;
      t.equal(nameless.version.text, expected);
      t.same([...new Set(nameless.warnings.map(({ code }) => code))].sort(), [
        'function-table-altered',
        'globals-second-way',
        'names-removed',
        'version-guessed',
      ]);
      const moves = new Set(goroutines.filter(isMoving).map(({ goid }) => goid));
      const bare = compareWithTraceback(unnamed.map(creatorWithoutName), traceback.map(withoutNames), {
        labels: true,
        mayMove: ({ goid }) => moves.has(goid),
      });
      t.same(bare.differences, []);
      t.equal(bare.compared.frames, compared.frames);
      t.same(
        unnamed.filter((g) => g.system).map(({ goid }) => goid),
        system,
        'the same goroutines are the system’s',
      );
      t.equal(unnamed.find(({ goid }) => goid === 1)?.start?.func, 'runtime.main');
      const starts = unnamed.map(({ start }) => start?.func ?? '');
      const expectedNames =
        /^(runtime\.(unnamed_[0-9a-f]+|main|corostart|runfinq|runFinalizers|runCleanups|gcBgMarkWorker)|unnamed_[0-9a-f]+)$/;
      t.same(
        starts.filter((name) => !expectedNames.test(name)),
        [],
      );
    });
  }
}

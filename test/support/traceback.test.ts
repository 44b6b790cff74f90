import t from 'tap';
import { buildGo, requireGo, startGo } from './go.js';
import { TESTED_RELEASES } from './releases.js';
import { parseTraceback, type TracedGoroutine } from './traceback.js';

for (const release of TESTED_RELEASES) {
  t.test(
    `traceback: go${release} prints as many goroutines as it counts, and every line of them is read`,
    async (t) => {
      if (!requireGo(t)) return;
      const path = await buildGo({ fixture: 'park', release, link: 'plain' });
      const program = await startGo(t, path, { env: { GODEBUG: 'tracebackancestors=10' } });
      const counted = Number(/^ready (\d+)/m.exec(program.stdout)?.[1]);
      const text = await program.quit();
      const goroutines = parseTraceback(text);

      t.equal(goroutines.length, count(text, /^goroutine \d+ /gm), 'every header is one goroutine');
      t.equal(goroutines.filter(isCounted).length, counted, 'as many as runtime.NumGoroutine says');
      const stacks = goroutines.flatMap((g) => [g, ...g.ancestors]);
      const places = stacks.flatMap((stack) => [...stack.frames, ...(stack.creator === null ? [] : [stack.creator])]);
      t.equal(places.length, count(text, /^\t[^\t]+:\d+(?: \+0x.*)?$/gm), 'every place is a frame or a creator');
      t.equal(places.filter((place) => 'sp' in place && place.sp !== null).length, count(text, / sp=0x/g));
      t.equal(stacks.filter((stack) => stack.elided !== null).length, count(text, /^\.\.\..* frames elided/gm));
      t.equal(
        goroutines.flatMap((g) => g.ancestors).length,
        count(text, /^\[originating from goroutine \d+\]:$/gm),
        'every ancestor is one',
      );
      t.ok(goroutines.some((g) => g.ancestors.length > 0));
      for (const g of goroutines.filter((each) => each.goid !== 0))
        t.same(gaps(g), [], `the frames of ${g.goid} adjoin`);

      const main = goroutines.find((g) => g.goid === 1);
      t.match(
        main?.frames.slice(-3).map((frame) => frame.func),
        ['main.main', 'runtime.main', 'runtime.goexit'],
      );
    },
  );
}

t.test('traceback: labels are read as go1.26 prints them when asked, and as go1.27 does', async (t) => {
  if (!requireGo(t)) return;
  for (const release of ['1.26', '1.27'] as const) {
    const path = await buildGo({ fixture: 'park', release, link: 'plain' });
    const program = await startGo(t, path, { env: { GODEBUG: 'tracebacklabels=1' } });
    const text = await program.quit();
    const labelled = parseTraceback(text).filter((g) => g.labels !== null);
    t.ok(labelled.length > 0, `go${release} prints labels`);
    t.equal(labelled.length, count(text, /^goroutine .*\{.*\}\]?:$/gm));
    t.ok(labelled.every((g) => Object.keys(g.labels ?? {}).length > 0));
  }
});

t.test('traceback: the brackets of a header are read', (t) => {
  const header = (line: string): TracedGoroutine | undefined => parseTraceback(`${line}\n`)[0];
  t.match(header('goroutine 7 [chan receive (nil chan), 12 minutes, locked to thread]:'), {
    ...{ goid: 7, gp: null, status: 'chan receive (nil chan)', minutes: 12, lockedToThread: true, labels: null },
  });
  t.match(header('goroutine 8 gp=0xc000002380 m=3 mp=0xc000080008 [syscall (scan)]:'), {
    ...{ gp: '0xc000002380', m: 3, mp: '0xc000080008', status: 'syscall', scan: true },
  });
  t.match(header('goroutine 9 gp=0xc000002380 m=nil [select (durable), 1 minutes, synctest bubble 4]:'), {
    ...{ m: null, mp: null, status: 'select', durable: true, minutes: 1, synctest: 4 },
  });
  t.match(header('goroutine 9 [chan send (leaked) (scan)]:'), { status: 'chan send', leaked: true, scan: true });
  t.same(header('goroutine 9 [select labels:{"a \\"]": "b, c", "d": "\\u00e9"}]:')?.labels, { 'a "]': 'b, c', d: 'é' });
  t.same(header('goroutine 9 [select] {plain: /x.y_1, "a b": "]: {"}:')?.labels, { plain: '/x.y_1', 'a b': ']: {' });
  t.end();
});

function count(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}

/**
 * True if runtime.NumGoroutine counts the goroutine. That depends on the function that it started with: the outermost
 * one apart from goexit, unless a deep stack was not printed to its end. The finalizer goroutine is never counted.
 */
function isCounted(g: TracedGoroutine): boolean {
  if (g.goid === 0) return false;
  const first = g.frames.findLast((frame) => frame.func !== 'runtime.goexit')?.func ?? '';
  return !first.startsWith('runtime.') || ['runtime.main', 'runtime.corostart'].includes(first);
}

/** Returns a line for each frame that does not start where the one before it ends, on one stack with no frame left out. */
function gaps(g: TracedGoroutine): string[] {
  const physical = g.frames.flatMap((frame, i) => (frame.sp === null ? [] : [{ ...frame, i }]));
  return physical.flatMap((frame, n) => {
    const next = physical[n + 1];
    const cut = g.elided !== null && next !== undefined && frame.i < g.elided.after && next.i >= g.elided.after;
    return next === undefined || cut || frame.fp === next.sp
      ? []
      : [`${frame.func} ${frame.fp} ${next.func} ${next.sp}`];
  });
}

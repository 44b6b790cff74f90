import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { PrintedArgument, PrintedGoroutine } from '../../analyze/report/print.js';
import type { ShownValue } from '../../analyze/types/value-tree.js';
import { gcore } from '../support/cores.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { cellName, RELEASES, type Release } from '../support/releases.js';
import { parseTraceback } from '../support/traceback.js';
import { TYPED_CELLS } from '../support/work-cells.js';
import { gospyHere } from './gospy-here.js';

/** What the program says of an argument. */
interface Said {
  readonly goid: number;
  readonly func: string;
  readonly index: number;
  readonly value: unknown;
}

function saidBy({ stdout }: GoProcess): Said[] {
  return [...stdout.matchAll(/^value (\d+) (\S+) (\d+) (.*)$/gm)].map(([, goid, func = '', index, json = '']) => ({
    ...{ goid: Number(goid), func, index: Number(index), value: comparable(JSON.parse(json) as ShownValue) },
  }));
}

/** A value as the program tells it: without addresses, the entries of maps in the order of their keys. */
function comparable(value: ShownValue): unknown {
  const { type, nil, to, length, capacity, fields, elements, entries, omitted } = value;
  const isChannel = type.startsWith('chan ');
  const ofEntry = (entry: { readonly key: ShownValue; readonly value: ShownValue }): unknown => ({
    ...{ key: comparable(entry.key), value: comparable(entry.value) },
  });
  return {
    type,
    value: value.value,
    nil: isChannel ? undefined : nil,
    length: nil === true && isChannel ? 0 : length,
    capacity: nil === true && isChannel ? 0 : capacity,
    to: to === undefined ? undefined : comparable(to),
    fields: fields?.map((field) => ({ name: field.name, value: comparable(field.value) })),
    elements: isChannel ? undefined : elements?.map(comparable),
    entries: entries?.map(ofEntry).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    omitted: typeof omitted === 'string' ? omitted : omitted?.code,
  };
}

async function print(...args: readonly string[]): Promise<PrintedGoroutine> {
  const { code, stdout, stderr } = await gospyHere(['print', ...args, '--json']);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as PrintedGoroutine;
}

/** The number of the frame of a function, as users find it: by the list of frames. */
async function frameOf(target: readonly string[], goid: number, func: string): Promise<number> {
  const { frames } = await print(...target, String(goid));
  const frame = frames.find((one) => one.func === func);
  if (frame === undefined) throw new Error(`goroutine ${goid} has no frame of ${func}`);
  return frame.n;
}

/** Before Go 1.17 each word is an argument: strings and interfaces are two. */
function placeOf(release: Release, { func, index }: Pick<Said, 'func' | 'index'>): number {
  if (Number(RELEASES[release].split('.')[1]) >= 17 || func !== 'main.(*node).visit') return index;
  return index === 0 ? 0 : 2 * index - 1;
}

/** Returns those of which the compiler has marked a word as not used any more: they are not followed. */
async function check(t: Test, target: readonly string[], release: Release, said: readonly Said[]): Promise<Said[]> {
  const found: PrintedArgument[] = [];
  const unused: Said[] = [];
  const numbers = new Map<string, number>();
  for (const one of said) {
    const place = placeOf(release, one);
    const frame = numbers.get(one.func) ?? (await frameOf(target, one.goid, one.func));
    numbers.set(one.func, frame);
    const all = ['--depth', '5', '--elements', '1000'];
    const { frames } = await print(...target, String(one.goid), `${frame}.${place}`, ...all);
    const argument = frames[0]?.arguments?.[0];
    const value = argument?.value ?? null;
    if (RELEASES[release].startsWith('1.17') && !(one.func === 'main.(*node).visit' && one.index === 0)) {
      t.equal(value, null, 'nothing tells whether the slots of registers were written');
      continue;
    }
    if (argument?.evidence.some(({ code }) => code === 'not-live') === true) {
      t.equal(value, null);
      unused.push(one);
      continue;
    }
    t.strictSame(value === null ? null : comparable(value), one.value, `${one.func} ${one.index}`);
    if (argument !== undefined) found.push(argument);
  }
  t.strictSame(
    found.map(({ certainty }) => certainty),
    found.map(({ evidence }) =>
      evidence.some(({ code }) => code === 'text' || code === 'not-kept') ? 'probable' : 'sure',
    ),
    'sure is what the garbage collector keeps',
  );
  return unused;
}

/** The text of an argument in the program's own traceback: `{0x4e17e8?, 0xc000014cb8}`. */
function tracedArgument(traceback: string, { goid, func, index }: Said): string {
  const goroutine = parseTraceback(traceback).find((one) => one.goid === goid);
  const args = goroutine?.frames.find((frame) => frame.func === func)?.args ?? '';
  return args.match(/\{[^}]*\}|[^, ]+/g)?.[index] ?? '';
}

/** The goroutines of the program in which functions wait that it says nothing of. */
async function goidOf(target: readonly string[], func: string): Promise<number> {
  const { stdout } = await gospyHere(['goroutines', ...target, '--func', func, '--ndjson']);
  return (JSON.parse(stdout) as { goid: number }).goid;
}

async function checkText(t: Test, target: readonly string[]): Promise<void> {
  const big = await goidOf(target, 'main.big.hold');
  const frame = await frameOf(target, big, 'main.big.hold');
  const { stdout } = await gospyHere(['print', ...target, String(big), `${frame}.0`, '--elements', '1000']);
  const shown = [...stdout.matchAll(/^  (\d+): int (\d+)$/gm)].map(([, key, value]) => [Number(key), Number(value)]);
  t.equal(new Set(shown.map(([key]) => key)).size, 1000, 'so many entries of a large map, each once');
  t.ok(shown.every(([key = 0, value]) => key < 5000 && value === 7 * key));
  t.match(stdout, /^main\.big 0x[0-9a-f]+ len 5000 \(4000 more\)$/m);

  const dropped = await goidOf(target, 'main.*drop');
  const { frames } = await print(...target, String(dropped));
  for (const { func, arguments: all } of frames) {
    for (const { words, type } of all ?? []) {
      if (words.some(({ live }) => live === false))
        t.equal(type, null, `${func}: a word that is not live is not followed`);
    }
    if (func !== 'main.(*node).drop') continue;
    t.ok(
      all?.every(({ certainty }) => certainty !== 'sure'),
      'what was freed, or may have been, is not sure',
    );
  }

  const receiver = [String(dropped), `${frames.find(({ func }) => func === 'main.wait')?.n}`];
  t.match(await gospyHere(['print', ...target, ...receiver]), { code: 0, stdout: /main\.wait\(\)/ });
  const given = [...target, String(big), `${frame}.0`, '--as'];
  const [asMap] = (await print(...given, 'main.big')).frames[0]?.arguments ?? [];
  t.match(asMap, { certainty: 'probable', value: { length: 5000 } }, 'what the user says is probable');
  const [asNode] = (await print(...given, '*main.node')).frames[0]?.arguments ?? [];
  t.match(asNode, { type: null, evidence: [{ code: 'refuted' }] }, 'the heap has no room for it');
  for (const name of ['main.nothing', '*main.twin']) {
    const [asNothing] = (await print(...given, name)).frames[0]?.arguments ?? [];
    t.match(asNothing, { type: null, evidence: [{ code: 'no-such-type' }] }, name);
  }
}

/** A snapshot has the words, and not what they lead to. */
async function checkSnapshot(t: Test, snapshot: string, said: readonly Said[]): Promise<void> {
  for (const { goid, func } of said) {
    const frame = await frameOf([snapshot], goid, func);
    const { frames } = await print(snapshot, String(goid), String(frame));
    const all = frames[0]?.arguments ?? [];
    t.ok(all.length > 0 && all.every(({ words, value }) => words.length > 0 && value === null), func);
    t.notOk(all.some(({ certainty }) => certainty === 'sure'));
  }
  const [first] = said;
  if (first === undefined) return;
  const frame = await frameOf([snapshot], first.goid, first.func);
  const { stdout } = await gospyHere(['print', snapshot, String(first.goid), `${frame}.0`]);
  t.match(stdout, /are not in the target/);
}

for (const cell of TYPED_CELLS) {
  t.test(`print: values are those that the program finds by reflection (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const path = await buildGo(cell);
    const running = await startGo(t, path);
    await untilQuiet(running.pid);
    const said = saidBy(running);
    t.equal(said.length, 6);
    const unused = await check(t, ['--pid', String(running.pid)], cell.release, said);
    if (cell.release !== '1.27') {
      const traceback = await running.quit();
      for (const one of unused) t.match(tracedArgument(traceback, one), /\?/, 'the program says so too');
      return;
    }
    t.same(unused, []);
    await checkText(t, ['--pid', String(running.pid)]);
    const snapshot = join(temporaryFolder(t), 'snap.gsp');
    t.equal((await gospyHere(['capture', '--pid', String(running.pid), '-o', snapshot])).code, 0);
    await checkSnapshot(t, snapshot, said);
    const core = await gcore(t, running.pid);
    await running.kill();
    await check(t, [core, '--bin', path], cell.release, said);
  });
}

t.test('print: what it does not take is exit code 2', async (t) => {
  const sample = fileURLToPath(new URL('../../../snapshots/samples/queue.gsp', import.meta.url));
  const cases: readonly [args: string[], stderr: RegExp][] = [
    [[sample], /no goroutine is named/],
    [[sample, 'odd'], /'odd' is not a goroutine id/],
    [[sample, '999'], /there is no goroutine 999/],
    [[sample, '1', 'odd'], /'odd' is not a frame and an argument/],
    [[sample, '1', '99'], /has no frame 99/],
    [[sample, '1', '0.99'], /frame 0 has arguments that are not known/],
    [[sample, '1', '0', '--as', 'main.x'], /--as is for one argument/],
    [[sample, '1', '0.0', '--depth', 'deep'], /It takes a whole number/],
    [[sample, '1', '0.0', '1'], /too many arguments/],
    [['--pid', '1', sample, '1'], /not both/],
  ];
  for (const [args, stderr] of cases) {
    t.match(await gospyHere(['print', ...args]), { code: 2, stdout: '', stderr }, `print ${args.join(' ')}`);
  }
  t.match(await gospyHere(['print', sample, '1']), { code: 0, stdout: /^goroutine 1 \[/ });
});

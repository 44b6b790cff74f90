import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { explainStack, type Explanation } from '../../analyze/report/explain.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToFile, captureToImage } from '../../capture/capture.js';
import { plus } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { readByTheBook } from '../support/independent-reader.js';
import { cellName, type Cell } from '../support/releases.js';

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const SAMPLE = `${SAMPLES}queue.gsp`;
const CAPTURES = 10;

function opened(t: Test, path: string): GoProgram {
  const image = openSnapshot(path);
  t.teardown(() => image.close());
  return openProgram(image);
}

/** Explains every goroutine, and holds the frames against those of the reports. */
function explainAll(t: Test, program: GoProgram): Map<string, Explanation> {
  const reported = new Map([...listGoroutines(program, 'stack')].map((g) => [g.goid, g]));
  const byEntry = new Map<string, Explanation>();
  const wrong: number[] = [];
  for (const g of program.goroutines()) {
    const explanation = explainStack(program, g);
    const { frames, truncated, entry } = reported.get(g.goid) ?? {};
    const explained = explanation.steps.flatMap((step) => step.frames);
    if (JSON.stringify(explained) !== JSON.stringify(frames) || explanation.truncated !== truncated) wrong.push(g.goid);
    byEntry.set(entry?.func ?? '?', explanation);
  }
  t.same(wrong, [], 'every goroutine has the frames of the reports');
  return byEntry;
}

function rulesOf(explanations: Iterable<Explanation>): Set<string> {
  return new Set([...explanations].flatMap(({ steps }) => steps.map(({ rule }) => rule)));
}

/** Holds each quoted word against the memory in the file, as another reader has it. Returns how many were quoted. */
function holdsWords(t: Test, path: string, explanations: Iterable<Explanation>): number {
  const { memory } = readByTheBook(readFileSync(path));
  const valueAt = (addr: number): bigint | null => {
    const found = memory.find(({ lo, bytes }) => addr >= lo && addr + 8 <= lo + bytes.length);
    return found === undefined ? null : found.bytes.readBigUInt64LE(addr - found.lo);
  };
  const words = [...explanations].flatMap(({ start, steps }) => [start, ...steps].flatMap((part) => part.words));
  const inMemory = words.filter(({ addr }) => addr !== null);
  t.same(
    inMemory.filter(({ addr, value }) => valueAt(Number(addr)) !== (value === null ? null : BigInt(value))),
    [],
    'every word is what the memory holds',
  );
  return inMemory.length;
}

t.test('explain: each step leads to the next, from the registers of a parked goroutine', (t) => {
  const explanations = explainAll(t, opened(t, SAMPLE));
  t.same([...rulesOf(explanations.values())].sort(), ['return-address', 'top-frame']);
  const { start, steps, truncated, advice } = explanations.get('main.(*queue).worker') as Explanation;
  t.match({ start, truncated, advice }, { start: { from: 'g.sched', thread: null }, truncated: null, advice: null });
  t.same(
    start.words.map(({ name, value }) => [name, value]),
    [
      ['g.sched.pc', steps[0]?.pc],
      ['g.sched.sp', steps[0]?.sp],
    ],
    'where it starts',
  );
  for (const [i, step] of steps.entries()) {
    const next = steps[i + 1];
    t.same(step.next, next === undefined ? null : { pc: next.pc, sp: next.sp }, `step ${i + 1} leads to the next`);
    if (next !== undefined) t.equal(step.words.at(-1)?.value, next.pc, 'by its return address');
    const { from, to } = step.frameSize ?? {};
    t.ok(Number(from) <= Number(step.pc) && Number(step.pc) < Number(to), 'and the frame size is that at its pc');
  }
  t.end();
});

for (const name of readdirSync(SAMPLES).filter((file) => file.endsWith('.gsp'))) {
  t.test(`explain: ${name} is followed as the reports follow it, by words that it holds`, (t) => {
    const explanations = explainAll(t, opened(t, SAMPLES + name)).values();
    t.ok(holdsWords(t, SAMPLES + name, explanations) > 20);
    t.end();
  });
}

t.test('explain: a crash leads through the signal handler, and through the call that it faked, to the fault', (t) => {
  const { start, steps } = explainAll(t, opened(t, `${SAMPLES}crash.gsp`)).get('main.dereference') as Explanation;
  t.equal(start.from, 'thread');
  const rules = steps.map(({ rule }) => rule);
  const handler = steps[rules.indexOf('signal-frame')];
  const interrupted = steps[rules.indexOf('signal-frame') + 1];
  t.match(handler, { func: 'runtime.sigtramp', trap: false });
  t.same(
    handler?.words.flatMap(({ name, value }) => (name.startsWith('r12') ? [] : [[name, value]])),
    [
      ['pc in the ucontext', interrupted?.pc],
      ['sp in the ucontext', interrupted?.sp],
    ],
  );
  t.equal(interrupted?.trap, true);
  const fault = steps[rules.indexOf('faked-call') + 1];
  t.equal(steps[rules.indexOf('faked-call')]?.func, 'runtime.sigpanic');
  t.match(fault, { func: 'main.dereference', trap: true });
  t.end();
});

t.test('explain: where memory is absent, the last step names the word', (t) => {
  const program = opened(t, SAMPLE);
  const g = [...program.goroutines()].find(({ goid }) => goid === 1);
  if (g === undefined) throw new Error('there is no goroutine 1');
  // Below the part in use, which is all that a snapshot has of a stack.
  const missing = { ...g, sched: { ...g.sched, sp: plus(g.stack.lo, 8) } };
  const { steps, truncated, advice } = explainStack(program, missing);
  const { rule, words } = steps.at(-1) ?? {};
  t.equal(rule, 'return-address');
  t.match(words?.at(-1), { name: 'return address', value: null });
  const at = Number(words?.at(-1)?.addr);
  t.ok(at >= g.stack.lo && at < g.sched.sp);
  t.match(truncated, new RegExp(`no memory at ${words?.at(-1)?.addr ?? '?'} `));
  t.match(advice, /capture again/);
  t.end();
});

const PARKED: readonly Cell[] = (['1.12', '1.26'] as const).map((release) => ({
  ...{ fixture: 'park', release, link: 'cgo' },
}));

for (const cell of PARKED) {
  t.test(`explain: rules are seen where the program makes them appear (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo(cell));
    const path = join(temporaryFolder(t), 'park.gsp');
    await captureToFile(program.pid, path, { mode: 'stop', writer: 'test' });
    const explanations = explainAll(t, opened(t, path));
    t.ok(holdsWords(t, path, explanations.values()) > 400);
    const expected: readonly [entry: string, from: string, rule: string, func: RegExp][] = [
      ['main.deferWhilePanicking', 'g.sched', 'return-address', /^runtime\.gopark$/],
      ['main.callbackFromC', 'g.sched', 'cgo-callback', /^runtime\.cgocallback(_gofunc)?$/],
      ['main.deferAfterNilDereference', 'g.sched', 'faked-call', /^runtime\.sigpanic$/],
      ['main.rawRead', 'g.syscall', 'return-address', /^syscall\.Syscall$/],
      ['main.blockedInC', 'g.syscall', 'return-address', /^runtime\.cgocall$/],
      ['main.rawEpollWait', 'g.syscall', 'top-frame', /^runtime\.goexit$/],
    ];
    for (const [entry, from, rule, func] of expected) {
      const explanation = explanations.get(entry);
      t.equal(explanation?.start.from, from, `${entry}: where it starts`);
      const step = explanation?.steps.find((step) => func.test(step.func ?? ''));
      t.equal(step?.rule, rule, `${entry}: the rule of ${step?.func ?? String(func)}`);
    }
    const fault = explanations.get('main.deferAfterNilDereference');
    const interrupted = fault?.steps.find(({ func }) => func === 'main.deferAfterNilDereference');
    t.equal(interrupted?.trap, true, 'the pc above sigpanic is that of the instruction at fault');
  });
}

t.test('explain: what runs is followed from the registers of its thread', async (t) => {
  if (!requireGo(t)) return;
  const program = await startGo(t, await buildGo({ fixture: 'spin', release: '1.26', link: 'cgo' }));
  let running = 0;
  for (let i = 0; i < CAPTURES; i++) {
    const { image } = await captureToImage(program.pid, { mode: 'stop', writer: 'test' });
    for (const { start, steps } of explainAll(t, openProgram(image)).values()) {
      if (start.from !== 'thread') continue;
      const thread = image.threads.find(({ tid }) => tid === start.thread?.tid);
      const [pc, sp] = start.words.map(({ value }) => BigInt(value ?? 0));
      t.same([pc, sp], [thread?.registers?.get('rip'), thread?.registers?.get('rsp')]);
      t.equal(steps[0]?.trap, true, 'the pc is the next instruction');
      running++;
    }
  }
  t.ok(running > 0, `${running} goroutines were running`);
});

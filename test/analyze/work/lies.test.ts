import t, { type Test } from 'tap';
import { readSpans } from '../../../analyze/leaks/spans.js';
import type { GoProgram } from '../../../analyze/program.js';
import { listGoroutines } from '../../../analyze/report/goroutines.js';
import { printArguments } from '../../../analyze/report/print.js';
import { WorkReader } from '../../../analyze/work/work-reader.js';
import type { Addr } from '../../../snapshots/address.js';
import { Memory } from '../../../snapshots/memory.js';
import type { DecoderSpec } from '../../../snapshots/work.js';
import { withCore } from '../../support/core-goroutines.js';
import { gcore } from '../../support/cores.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { random } from '../../support/gsp.js';
import { untilQuiet } from '../../support/quiet.js';
import { Patched } from '../patched-memory.js';

/** The kinds of work that are told of objects with pointers in the heap. */
const OF_OBJECTS = new Set(['http-server', 'http-client', 'context', 'socket', 'file', 'exec']);

function workIn(program: GoProgram): { readonly text: string; readonly sure: boolean }[] {
  return [...listGoroutines(program, 'stack')].flatMap(({ goid, work }) =>
    work
      .filter(({ kind }) => OF_OBJECTS.has(kind))
      .map(({ kind, text, sure }) => ({ text: `${goid} ${kind} ${text}`, sure })),
  );
}

/** Addresses of the records (mspan) of all spans in use: where the words are that say where a span begins, and how long it is. */
function spanRecords(program: GoProgram): Addr[] {
  const { image, memory, layouts } = program;
  const { base, pages } = readSpans(program, memory);
  const lengths = new Map([...base].map((at, i) => [at, pages[i]]));
  const [startAddr, npages] = [layouts.of('mspan').offset('startAddr'), layouts.of('mspan').offset('npages')];
  const found: Addr[] = [];
  const holdsObjects = (lo: number, hi: number): boolean => base.some((at) => at >= lo && at < hi);
  for (const { start, end } of image.mappings.filter((one) => one.writable && !holdsObjects(one.start, one.end))) {
    for (const { lo, hi } of memory.source.ranges(start, end)) {
      for (let at = 8 * Math.ceil(lo / 8); at + 16 <= hi; at += 8) {
        const length = lengths.get(memory.u32(lo, at - lo) + 2 ** 32 * memory.u32(lo, at + 4 - lo));
        const record = at - startAddr;
        if (length !== undefined && memory.u32(lo, record + npages - lo) === length) found.push(record as Addr);
      }
    }
  }
  return found;
}

function heapContradicts(t: Test, program: GoProgram): void {
  const before = workIn(program);
  t.ok(before.filter(({ sure }) => sure).length > 20, 'most of it is sure');
  // The lowest bit of the class of a span says that no object in it has pointers (spanClass.noscan in mheap.go).
  const spanclass = program.layouts.of('mspan').offset('spanclass');
  const bytes = spanRecords(program).map(
    (record) => [record + spanclass, program.memory.u8(record, spanclass) | 1] as const,
  );
  t.ok(bytes.length > 50, `${bytes.length} spans`);
  const after = workIn(program.over({ memory: new Memory(new Patched(program.memory.source, bytes)) }));
  t.same(
    after.map(({ text }) => text),
    before.map(({ text }) => text),
    'all is told as before',
  );
  t.same(
    after.filter(({ sure }) => sure),
    [],
    'none of it is sure',
  );
}

/** Decoders of the user's own, of functions on the stacks. */
const OWN: readonly DecoderSpec[] = [
  {
    ...{ kind: 'own', function: 'net/http.(*conn).serve', word: 0, type: '*net/http.conn' },
    text: [{ path: 'remoteAddr', as: 'plain' }, ' ', { path: 'server.Addr', as: 'path' }],
  },
  {
    ...{ kind: 'own-text', function: 'database/sql.(*DB).query', word: 3, type: 'string' },
    text: [{ path: '', as: 'sql' }],
  },
];

/** Words that are worst as pointers, lengths, counts and types. */
const WORST = [0n, 1n, 8n, 1n << 60n, (1n << 64n) - 1n, (1n << 63n) - 1n, (1n << 47n) - 8n, 1n << 26n];
const ROUNDS = 30;
/** Words that lie in one round. */
const LIES = 60;
/** Bytes of memory of which it is known whether they were read. */
const PART = 64;
/** A text has a few strings, each of 256 characters at most. */
const MAX_TEXT = 5000;
/** What is printed of one argument is limited in number, not in length; no string of it is longer than 256 characters. */
const MAX_PRINTED = 20_000_000;

/** Words that lie, among those that decoders read: whatever they say, reading ends, and texts are of limited size. */
function wordsThatLie(t: Test, whole: GoProgram): void {
  const gs = [...whole.goroutines('stack')].map((g) => ({ g, frames: whole.stackOf(g).frames }));
  const workOf = (reader: WorkReader): string[] =>
    gs.flatMap(({ frames }) => reader.of(frames, () => []).map(({ text }) => text));
  const observed = new Patched(whole.memory.source, [], PART);
  const reader = new WorkReader(whole.over({ memory: new Memory(observed), decoders: OWN }), true);
  const told = workOf(reader);
  t.ok(told.length > 25, `${told.length} things`);
  const all = [...observed.read];
  // It knows all types then, and reads the values alone.
  observed.read.clear();
  workOf(reader);
  const values = [...observed.read];
  const odd: string[] = [];
  let fewer = 0;
  for (let seed = 0; seed < ROUNDS; seed++) {
    const next = random(seed);
    const pick = <T>(all: readonly T[]): T => all[next(all.length)] as T;
    const bytes = Array.from({ length: LIES }, () => {
      const at = pick(next(2) === 0 ? values : all) + 8 * next(PART / 8);
      const lie = next(3) === 0 ? BigInt(pick(values)) : pick(WORST);
      return Array.from({ length: 8 }, (_, i) => [at + i, Number((lie >> BigInt(8 * i)) & 255n)] as const);
    }).flat();
    const program = whole.over({ memory: new Memory(new Patched(whole.memory.source, bytes)), decoders: OWN });
    const texts = workOf(new WorkReader(program, true));
    if (texts.length < told.length) fewer++;
    odd.push(...texts.filter((text) => text.length > MAX_TEXT || text.includes('\n')));
    const query = { frame: null, argument: next(2), as: null, depth: 4, elements: 8 };
    const printed = JSON.stringify(printArguments(program, pick(gs).g, query));
    if (printed.length > MAX_PRINTED) odd.push(`${printed.length} characters printed`);
  }
  t.same(odd, [], `${ROUNDS} rounds`);
  t.ok(fewer > ROUNDS / 2, `less is told in ${fewer} of them`);
}

t.test('work: what the heap contradicts is not sure, and words that lie are no error', async (t) => {
  if (!requireGo(t)) return;
  const bin = await buildGo({ fixture: 'decoders', release: '1.27', link: 'stripped' });
  const running = await startGo(t, bin);
  await untilQuiet(running.pid);
  const core = await gcore(t, running.pid);
  await running.kill();
  withCore(core, { bin }, (program) => {
    heapContradicts(t, program);
    wordsThatLie(t, program);
  });
});

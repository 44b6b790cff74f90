import t from 'tap';
import { readSpans } from '../../../analyze/leaks/spans.js';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { listGoroutines } from '../../../analyze/report/goroutines.js';
import type { Addr } from '../../../snapshots/address.js';
import { withParts } from '../../../snapshots/image.js';
import { Memory, type MemorySource, type Window } from '../../../snapshots/memory.js';
import { withCore } from '../../support/core-goroutines.js';
import { gcore } from '../../support/cores.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { untilQuiet } from '../../support/quiet.js';

t.setTimeout(300_000);

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

/** Memory with other bytes at some addresses. */
class Patched implements MemorySource {
  readonly #source: MemorySource;
  readonly #bytes: ReadonlyMap<number, number>;
  readonly #known = new Map<number, Window>();

  constructor(source: MemorySource, bytes: ReadonlyMap<number, number>) {
    this.#source = source;
    this.#bytes = bytes;
  }

  window(addr: number): Window | null {
    const whole = this.#source.window(addr);
    if (whole === null) return null;
    let patched = this.#known.get(whole.lo);
    if (patched === undefined || patched.hi !== whole.hi) {
      const bytes = new Uint8Array(whole.view.buffer, whole.view.byteOffset, whole.view.byteLength).slice();
      for (const [at, byte] of this.#bytes) if (at >= whole.lo && at < whole.hi) bytes[at - whole.lo] = byte;
      patched = { lo: whole.lo, hi: whole.hi, view: new DataView(bytes.buffer) };
      this.#known.set(whole.lo, patched);
    }
    return patched;
  }

  ranges(lo: number, hi: number): ReturnType<MemorySource['ranges']> {
    return this.#source.ranges(lo, hi);
  }
}

t.test('work: what the heap contradicts is not sure', async (t) => {
  if (!requireGo(t)) return;
  const bin = await buildGo({ fixture: 'decoders', release: '1.27', link: 'stripped' });
  const running = await startGo(t, bin);
  await untilQuiet(running.pid);
  const core = await gcore(t, running.pid);
  await running.kill();
  withCore(core, { bin }, (program) => {
    const before = workIn(program);
    t.ok(before.filter(({ sure }) => sure).length > 20, 'most of it is sure');
    // The lowest bit of the class of a span says that no object in it has pointers (spanClass.noscan in mheap.go).
    const spanclass = program.layouts.of('mspan').offset('spanclass');
    const bytes = new Map(
      spanRecords(program).map((record) => [record + spanclass, program.memory.u8(record, spanclass) | 1]),
    );
    t.ok(bytes.size > 50, `${bytes.size} spans`);
    const memory = new Memory(new Patched(program.image.memory.source, bytes));
    const after = workIn(openProgram(withParts(program.image, { memory })));
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
  });
});

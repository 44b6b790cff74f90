import t from 'tap';
import type { GoProgram } from '../../../analyze/program.js';
import { GoroutineColumns } from '../../../analyze/runtime/goroutine-columns.js';
import type { G } from '../../../analyze/runtime/goroutine.js';
import type { Addr } from '../../../snapshots/address.js';
import { onFault } from '../../../snapshots/memory.js';
import { recordingMemory } from '../../../snapshots/recording.js';
import { without, withWord } from '../../support/altered-memory.js';
import { openSample } from '../report/samples.js';

const SAMPLES = ['queue.gsp', 'go1.12.gsp', 'arm64.gsp', 'torn.gsp'];

/** The goroutines one by one, in the order of runtime.allgs; null for those that cannot be read. */
function oneByOne({ goroutineReader, globals }: GoProgram): { addr: Addr; g: G | null }[] {
  const { addresses } = goroutineReader.presentAddresses(globals.allgs);
  return Array.from(addresses).flatMap((address) => {
    const addr = address as Addr;
    const isDead = onFault(
      () => goroutineReader.isDead(addr),
      () => false,
    );
    return isDead ? [] : { addr, g: goroutineReader.tryRead(addr) };
  });
}

/** The goroutines that columns hold, by id. */
function inColumns(columns: GoroutineColumns): { addr: Addr; g: G | null }[] {
  return Array.from(columns.byGoid, (row) => {
    return { addr: (columns.addr[row] ?? 0) as Addr, g: columns.isReadable(row) ? columns.at(row) : null };
  });
}

/** A stable sort by what can be read of the id. */
function byGoid(program: GoProgram, list: readonly { addr: Addr; g: G | null }[]): { addr: Addr; g: G | null }[] {
  const goid = (addr: Addr): number => program.goroutineReader.goidAt(addr);
  return list.toSorted((a, b) => goid(a.addr) - goid(b.addr));
}

for (const sample of SAMPLES) {
  t.test(`columns: every field is that of the g (${sample})`, (t) => {
    const program = openSample(t, sample);
    const { columns, expected } = { columns: program.goroutineColumns, expected: oneByOne(program) };
    t.ok(expected.length > 0);
    t.same(inColumns(columns), byGoid(program, expected));
    t.equal(columns.length, expected.length);
    t.end();
  });

  t.test(`columns: so they are of gs in several windows, in any order (${sample})`, (t) => {
    const program = openSample(t, sample);
    const { memory } = recordingMemory(program.image.memory, program.image);
    const { addresses } = program.goroutineReader.presentAddresses(program.globals.allgs);
    const reversed = addresses.toReversed();
    const columns = new GoroutineColumns(memory, program.over({ memory }).goroutineReader, reversed);
    t.same(inColumns(columns), byGoid(program, oneByOne(program).toReversed()));
    t.end();
  });

  t.test(`columns: a g that is damaged or absent has a row of its own (${sample})`, (t) => {
    const whole = openSample(t, sample);
    const offsets = whole.goroutineReader.offsets;
    const [first] = [...whole.goroutines()];
    if (first === undefined) throw new Error('the sample has no goroutines');
    const { addr } = first;
    const { memory } = whole.image;
    const altered = [
      withWord(memory, (addr + offsets.m) as Addr, 2 ** 60),
      withWord(memory, (addr + offsets.stack) as Addr, 2 ** 63),
      withWord(memory, (addr + offsets.stack + 8) as Addr, 8),
      withWord(memory, (addr + offsets.atomicstatus) as Addr, 77),
      without(memory, { lo: addr, hi: (addr + 8) as Addr }),
      without(memory, { lo: addr, hi: (addr + whole.goroutineReader.sizeBytes) as Addr }),
    ];
    for (const memory of altered) {
      const program = whole.over({ memory });
      const expected = oneByOne(program);
      t.equal(expected.filter(({ g }) => g === null).length, 1);
      t.same(inColumns(program.goroutineColumns), byGoid(program, expected));
      t.equal([...program.goroutines()].length, expected.length - 1);
      t.match(program.warnings, [{ code: 'goroutine-unreadable' }]);
      t.equal(program.goroutineCount, expected.length - 1);
    }
    t.end();
  });
}

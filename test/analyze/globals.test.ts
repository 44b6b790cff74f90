import t from 'tap';
import { parseGoVersion } from '../../analyze/binary/go-version.js';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { GlobalChecks } from '../../analyze/runtime/global-checks.js';
import { scanForGlobals } from '../../analyze/runtime/global-scan.js';
import { Layouts, NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { addr } from '../../snapshots/address.js';
import { Memory, SegmentSource } from '../../snapshots/memory.js';
import { buildGo, requireGo } from '../support/go.js';
import { TESTED_RELEASES } from '../support/releases.js';
import { readDebugInfo } from './debuginfo.js';
import { loadBias, loaded, restingImage } from './live-program.js';
import { Patched } from './patched-memory.js';

for (const release of TESTED_RELEASES) {
  for (const link of ['plain', 'pie', 'cgo'] as const) {
    t.test(`globals: in Go ${release} ${link}, code and shape lead to the addresses in the symbol table`, async (t) => {
      if (!requireGo(t)) return;
      const path = await buildGo({ fixture: 'park', release, link });
      const { variables, entry } = await readDebugInfo(path);
      const image = await restingImage(t, path);
      const bias = loadBias(image.pid, entry);
      const symbol = (name: string): number | null => loaded(variables[name], bias);
      const program = openProgram(image);
      const { globals } = program;

      t.same(program.warnings, []);
      t.same(globals.notes, [], 'each was found by the code that refers to it');
      const names = [
        'allgs',
        'allp',
        'allm',
        'sched',
        'g0',
        'm0',
        'gomaxprocs',
        'gcphase',
        'waitReasonStrings',
      ] as const;
      for (const name of names) t.equal(globals[name], symbol(name), name);
      t.equal(globals.alllink, program.layouts.of('m').offset('alllink'), 'alllink');

      const [runtime] = program.code.modules;
      if (runtime === undefined) throw new Error('no module');
      const checks = new GlobalChecks(program.memory, program.layouts);
      const byShape = scanForGlobals(program.memory, runtime.module, checks);
      for (const name of ['allgs', 'allp', 'allm', 'sched', 'g0'] as const) {
        t.equal(byShape[name], symbol(name), `${name} by shape`);
      }
    });
  }
}

t.test('globals: the list of Ms may have one that is being made, and one that ends', async (t) => {
  if (!requireGo(t)) return;
  const image = await restingImage(t, await buildGo({ fixture: 'park', release: '1.26', link: 'stripped' }));
  const { globals, layouts, machines, memory } = openProgram(image);
  const idle = memory.ptr(globals.sched, layouts.of('schedt').offset('midle'));
  const others = machines.filter(({ addr }) => addr !== idle && addr !== globals.m0);
  t.ok(others.length >= 2);
  /** Writes zeros over m.g0, the first word, of some Ms. */
  const without = (count: number): GoProgram => {
    const bytes = others
      .slice(0, count)
      .flatMap(({ addr }) => Array.from({ length: 8 }, (_, i) => [addr + i, 0] as const));
    return openProgram({ ...image, memory: new Memory(new Patched(image.memory.source, bytes)) });
  };
  for (const count of [1, 2]) {
    const program = without(count);
    t.same(program.globals.notes, []);
    t.equal(program.globals.allm, globals.allm, 'allm');
    t.equal(program.machines.length, machines.length, 'Ms');
  }
});

/** Up to Go 1.13 a timer (64 bytes, runtime/time.go) begins with a pointer to its bucket and its index in the bucket's heap. */
t.test('globals: a heap of timers that lie far apart is not taken for the list of Ps', (t) => {
  const version = parseGoVersion('go1.12.17');
  if (version === null) throw new Error('no version');
  const base = 0x10000;
  const words = new BigUint64Array(0x10000);
  const put = (at: number, ...values: readonly number[]): void => {
    values.forEach((value, i) => (words[(at - base) / 8 + i] = BigInt(value)));
  };
  const [slice, list, bucket, when] = [base, base + 0x100, base + 0x200, 1000];
  const timers = [0x8000, 0x20000, 0x38000].map((offset) => base + offset);
  put(slice, list, timers.length, 4);
  put(list, ...timers);
  timers.forEach((timer, i) => {
    put(timer, bucket, i, when, 0, slice, 0, 0, 0);
    put(timer + 64, bucket, i + timers.length, when, 0, slice, 0, 0, 0);
  });
  const bytes = new Uint8Array(words.buffer);
  const memory = new Memory(new SegmentSource([{ addr: addr(base), bytes }]));
  t.equal(new GlobalChecks(memory, new Layouts(version, NO_DEBUG_INFO)).namesMachines(addr(slice)), false);
  t.end();
});

/**
 * The page allocator has the address of free memory and two numbers of chunks in a row (pageAlloc in mpagealloc.go), which look
 * like a slice header. An array that allgs had outgrown may lie there, near the end of what the heap has mapped.
 */
t.test('globals: an outgrown allgs at the end of the heap is not taken for the list of goroutines', (t) => {
  const version = parseGoVersion('go1.26.8');
  if (version === null) throw new Error('no version');
  const layouts = new Layouts(version, NO_DEBUG_INFO);
  const [slice, gs, list, base] = [0x10000, 0x10100, 0x1ff00, 0x10000];
  const bytes = new Uint8Array(0x10000);
  const view = new DataView(bytes.buffer);
  const put = (at: number, value: number): void => view.setBigUint64(at - base, BigInt(value), true);
  const { sizeBytes } = layouts.of('g');
  const self = layouts.of('g').offset('sched') + layouts.of('gobuf').offset('g');
  for (let i = 0; i < 32; i++) {
    const g = gs + i * sizeBytes;
    put(list + 8 * i, g);
    put(g + self, g);
    put(g + layouts.of('g').offset('goid'), i + 1);
  }
  put(slice, list);
  const checks = new GlobalChecks(new Memory(new SegmentSource([{ addr: addr(base), bytes }])), layouts);
  for (const [length, wanted] of [
    [32, 32],
    [196_608, 0],
  ] as const) {
    put(slice + 8, length);
    put(slice + 16, length + 1);
    t.equal(checks.allgs(addr(slice)), wanted);
  }
  t.end();
});

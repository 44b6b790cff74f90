import t from 'tap';
import type { ModuleData } from '../../../analyze/binary/module-data.js';
import { openProgram } from '../../../analyze/program.js';
import type { TypeFormat } from '../../../analyze/types/type-format.js';
import { TypeIndex } from '../../../analyze/types/type-index.js';
import { TypeReader } from '../../../analyze/types/type-reader.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import type { Addr } from '../../../snapshots/address.js';
import { Memory, SegmentSource } from '../../../snapshots/memory.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { readelfTypes } from '../../support/readelf.js';
import { cellName } from '../../support/releases.js';
import { NAMED_TYPES_CELLS } from '../../support/work-cells.js';

const MODULE = 0x1000;
const TYPES = 0x400000;
const END = TYPES + 0x20000;
const FORMAT: TypeFormat = { nameLength: 'varint', shiftedOffsets: false, direct: 'kind', mapBytes: 88 };
const KIND = { int: 2, ptr: 22, slice: 23, struct: 25 } as const;
const [UNCOMMON, NAMED] = [1, 4];

/** Memory of a module with types that have names, and with the list of the pointers to them. */
class Made {
  readonly #types = Buffer.alloc(END - TYPES);
  readonly #listed: { readonly short: string; readonly at: number }[] = [];
  #next = 0x100;
  #isSorted = true;

  /** A type of a package with that path, which %T prints as `short`. Returns its address. */
  named(path: string, short: string): number {
    const at = this.#take(0x100);
    this.#descriptor(at, KIND.struct, short, path === '' ? NAMED : UNCOMMON | NAMED);
    if (path !== '') this.#types.writeInt32LE(this.#name(path), at + 80);
    this.listed(KIND.ptr, `*${short}`, TYPES + at);
    return TYPES + at;
  }

  /** A type without a name of its own. */
  listed(kind: number, short: string, elem = 0): number {
    const at = this.#take(0x80);
    this.#descriptor(at, kind, short, 0);
    this.#types.writeBigUInt64LE(BigInt(elem), at + 48);
    this.#listed.push({ short, at });
    return TYPES + at;
  }

  unsorted(): this {
    this.#isSorted = false;
    return this;
  }

  index(): { readonly index: TypeIndex; readonly read: Set<number> } {
    const list = this.#isSorted
      ? this.#listed.toSorted((a, b) => (a.short < b.short ? -1 : a.short > b.short ? 1 : 0))
      : this.#listed;
    const offsets = this.#take(4 * list.length);
    list.forEach(({ at }, i) => this.#types.writeInt32LE(at, offsets + 4 * i));
    const moduledata = Buffer.alloc(64);
    moduledata.writeBigUInt64LE(BigInt(TYPES + offsets), 0);
    moduledata.writeBigUInt64LE(BigInt(list.length), 8);
    const memory = new Memory(
      new SegmentSource([
        { addr: TYPES as Addr, bytes: this.#types },
        { addr: MODULE as Addr, bytes: moduledata },
      ]),
    );
    const layout = { sizeBytes: 64, has: (field: string) => field === 'typelinks', offset: () => 0 };
    const module = { addr: MODULE, layout, types: { lo: TYPES, hi: END } } as unknown as ModuleData;
    const reader = new TypeReader(memory, [module], FORMAT);
    const read = new Set<number>();
    const at = reader.at.bind(reader);
    reader.at = (addr) => {
      read.add(addr);
      return at(addr);
    };
    return { index: new TypeIndex(memory, [module], reader), read };
  }

  #take(bytes: number): number {
    const at = this.#next;
    this.#next += Math.ceil(bytes / 8) * 8;
    return at;
  }

  #descriptor(at: number, kind: number, short: string, tflag: number): void {
    this.#types.writeBigUInt64LE(8n, at);
    this.#types[at + 20] = tflag;
    this.#types[at + 23] = kind;
    this.#types.writeInt32LE(this.#name(short), at + 40);
  }

  #name(text: string): number {
    const at = this.#take(2 + text.length);
    this.#types[at + 1] = text.length;
    this.#types.write(text, at + 2);
    return at;
  }
}

/** Types of many packages. */
function many(made: Made): Made {
  for (let i = 0; i < 200; i++) made.named(`example.org/p${i}`, `p${i}.thing`);
  return made;
}

t.test('type index: types are found by their names, whatever their packages are called', (t) => {
  const made = many(new Made());
  const expected = {
    'net/http.conn': made.named('net/http', 'http.conn'),
    'example.org/other/http.conn': made.named('example.org/other/http', 'http.conn'),
    'math/rand/v2.PCG': made.named('math/rand/v2', 'rand.PCG'),
    'k8s.io/api/core/v1.Pod': made.named('k8s.io/api/core/v1', 'v1.Pod'),
    'gopkg.in/yaml.v3.Node': made.named('gopkg.in/yaml.v3', 'yaml.Node'),
    'github.com/mattn/go-sqlite3.SQLiteConn': made.named('github.com/mattn/go-sqlite3', 'sqlite3.SQLiteConn'),
    'example.org/server.server': made.named('example.org/server', 'main.server'),
    'main.list[example.org/a.b]': made.named('main', 'main.list[example.org/a.b]'),
    string: made.named('', 'string'),
    '[]http.conn': made.listed(KIND.slice, '[]http.conn'),
  };
  const { index } = made.index();
  for (const [name, addr] of Object.entries(expected)) t.equal(index.named(name)?.addr, addr, name);
  for (const absent of ['net/http.con', 'net/http.connection', 'http.conn', 'conn', 'net/http', '', '.', 'a.b.c[', '*'])
    t.equal(index.named(absent), null, `no ${absent}`);
  t.end();
});

t.test('type index: several types of one name are none', (t) => {
  const made = many(new Made());
  made.named('main', 'main.local');
  made.named('main', 'main.local');
  t.equal(made.index().index.named('main.local'), null);
  t.end();
});

t.test('type index: few types are read, also for one that is missing', (t) => {
  const made = many(new Made());
  made.named('google.golang.org/grpc/internal/transport', 'transport.Stream');
  const { index, read } = made.index();
  t.not(index.named('google.golang.org/grpc/internal/transport.Stream'), null);
  t.equal(index.named('google.golang.org/grpc/internal/transport.ServerStream'), null);
  t.equal(index.named('float64'), null);
  t.ok(read.size < 10, `${read.size} of 402 were read`);
  t.equal(index.named('example.org/elsewhere.thing'), null, 'nothing tells what its package is called');
  t.equal(read.size, 402, 'so that all are read');
  t.end();
});

t.test('type index: a list that is not sorted is read from end to end', (t) => {
  const made = new Made().unsorted();
  const expected = {
    'z/b.c': made.named('z/b', 'b.c'),
    'z/a.c': made.named('z/a', 'a.c'),
    'z/d.c': made.named('z/d', 'd.c'),
  };
  const { index } = made.index();
  for (const [name, addr] of Object.entries(expected)) t.equal(index.named(name)?.addr, addr, name);
  t.end();
});

for (const cell of NAMED_TYPES_CELLS) {
  t.test(`type index: all types with names are where the debug information says (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const path = await buildGo(cell);
    const live = new LiveProcess((await startGo(t, path)).pid, 'read');
    t.teardown(() => live.close());
    const { memory, code, layouts } = openProgram(live.image());
    const modules = code.modules.map(({ module }) => module);
    const index = new TypeIndex(memory, modules, new TypeReader(memory, modules, layouts.release.types));
    const [{ types }] = modules as [ModuleData];
    const byName = readelfTypes(path);
    let found = 0;
    const wrong: string[] = [];
    for (const [name, values] of byName) {
      // An address up to Go 1.26, an offset since.
      const addresses = [...values].map((value) => (value >= types.lo ? value : types.lo + value));
      const type = index.named(name);
      if (type === null) continue;
      found++;
      if (addresses.length > 1 || type.addr !== addresses[0]) wrong.push(name);
    }
    t.same(wrong, []);
    t.ok(byName.size > 200, `${byName.size} types`);
    t.ok(
      found >= byName.size - 5,
      `${found} are found; the debug information has a few to which there are no pointers`,
    );
  });
}

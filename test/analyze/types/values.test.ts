import t from 'tap';
import type { ModuleData } from '../../../analyze/binary/module-data.js';
import type { TypeFormat } from '../../../analyze/types/type-format.js';
import { Values } from '../../../analyze/types/values.js';
import type { Addr } from '../../../snapshots/address.js';
import { Memory, MemoryFault, SegmentSource } from '../../../snapshots/memory.js';

const TYPES = 0x400000;
const END = TYPES + 0x2000;
const HEAP = 0xc000000000;
const STRUCT = TYPES + 0x100;
const POINTER = TYPES + 0x200;
const STRING = TYPES + 0x300;
const FORMAT: TypeFormat = { nameLength: 'varint', shiftedOffsets: false, direct: 'kind', mapBytes: 88 };
const [PTR, STRING_KIND, STRUCT_KIND] = [22, 24, 25];

/** Memory with the types `main.node` (`next *main.node`, `name string`), `*main.node` and `string`, and some heap. */
class Made {
  readonly types = Buffer.alloc(END - TYPES);
  readonly heap = Buffer.alloc(0x1000);
  #names = 0x1000;

  constructor() {
    this.type(STRUCT, STRUCT_KIND, 24, 'main.node', 5);
    this.word(STRUCT + 56, TYPES + 0x500);
    this.word(STRUCT + 64, 2);
    this.types.writeInt32LE(this.name('main'), STRUCT + 80 - TYPES);
    this.field(0, 'next', POINTER, 0);
    this.field(1, 'name', STRING, 8);
    this.type(POINTER, PTR, 8, '*main.node', 0);
    this.word(POINTER + 48, STRUCT);
    this.type(STRING, STRING_KIND, 16, 'string', 0);
    this.word(TYPES + 0x600, 0);
    this.types.writeInt32LE(POINTER - TYPES, 0x600);
  }

  type(at: number, kind: number, size: number, name: string, tflag: number): void {
    this.word(at, size);
    this.types[at - TYPES + 20] = tflag;
    this.types[at - TYPES + 23] = kind;
    this.types.writeInt32LE(this.name(name), at - TYPES + 40);
  }

  field(index: number, name: string, type: number, offset: number): void {
    const at = TYPES + 0x500 + 24 * index;
    this.word(at, TYPES + this.name(name));
    this.word(at + 8, type);
    this.word(at + 16, offset);
  }

  name(text: string): number {
    const at = this.#names;
    this.types[at + 1] = text.length;
    this.types.write(text, at + 2);
    this.#names += 64;
    return at;
  }

  word(at: number, value: number | bigint): void {
    const [buffer, base] = at >= HEAP ? [this.heap, HEAP] : [this.types, TYPES];
    buffer.writeBigUInt64LE(BigInt(value), at - base);
  }

  values(): Values {
    const memory = new Memory(
      new SegmentSource([
        { addr: TYPES as Addr, bytes: this.types },
        { addr: HEAP as Addr, bytes: this.heap },
        { addr: 0x1000 as Addr, bytes: this.moduledata() },
      ]),
    );
    const layout = { sizeBytes: 64, has: (field: string) => field === 'typelinks', offset: () => 0 };
    const module = { addr: 0x1000, layout, types: { lo: TYPES, hi: END } } as unknown as ModuleData;
    return new Values(memory, [module], FORMAT);
  }

  moduledata(): Uint8Array {
    const out = Buffer.alloc(64);
    out.writeBigUInt64LE(BigInt(TYPES + 0x600), 0);
    out.writeBigUInt64LE(1n, 8);
    return out;
  }
}

t.test('types: a struct is found by its name, and its fields lead on', (t) => {
  const made = new Made();
  made.word(HEAP, HEAP + 0x100);
  made.word(HEAP + 0x108, HEAP + 0x200);
  made.word(HEAP + 0x110, 5);
  made.heap.write('hello', 0x200);
  const values = made.values();
  const node = values.at('main.node', HEAP as Addr);
  const name = values.get(node, 'next.name');
  t.equal(name === null ? null : values.string(name), 'hello');
  t.equal(values.get(values.at('main.node', (HEAP + 0x100) as Addr), 'next.name'), null, 'nil ends the way');
  t.throws(() => values.get(node, 'other'), MemoryFault, 'a field that the type does not have');
  t.throws(() => values.at('main.other', HEAP as Addr), MemoryFault, 'a type that the program does not have');
  t.end();
});

t.test('types: damaged values and descriptors are faults, and reading ends', (t) => {
  const made = new Made();
  made.word(HEAP, HEAP);
  made.word(HEAP + 8, HEAP + 0x200);
  made.word(HEAP + 16, 2n ** 60n);
  const values = made.values();
  const node = values.at('main.node', HEAP as Addr);
  const name = values.get(node, 'next.next.next.name');
  t.ok(name !== null, 'a cycle is followed as far as the path goes');
  if (name !== null) t.throws(() => values.string(name), MemoryFault, 'a string of 2^60 bytes');
  made.word(HEAP, 2n ** 63n);
  t.throws(() => made.values().get(node, 'next.name'), MemoryFault, 'a pointer that is none');

  made.word(POINTER + 48, 0xdead0000);
  t.throws(() => made.values().at('main.node', HEAP as Addr), MemoryFault, 'an element type out of range');
  made.word(POINTER + 48, POINTER);
  t.throws(() => made.values().at('main.node', HEAP as Addr), MemoryFault, 'a pointer to itself');
  made.word(POINTER + 48, STRUCT);
  made.word(STRUCT + 64, 2n ** 40n);
  t.throws(() => made.values().get(node, 'next'), MemoryFault, 'more fields than there can be');
  made.word(STRUCT + 64, 2);
  made.field(0, 'next', STRUCT, 0);
  t.throws(() => made.values().get(node, 'next.next.missing'), MemoryFault, 'a struct within itself');
  t.end();
});

t.test('types: whatever one byte of a descriptor is, nothing but a fault comes of it', (t) => {
  for (let at = 0x100; at < 0x604; at++) {
    for (const byte of [0x00, 0x7f, 0xff]) {
      const made = new Made();
      made.types[at] = byte;
      const values = made.values();
      try {
        const value = values.get(values.at('main.node', HEAP as Addr), 'next.name');
        if (value !== null) values.string(value);
      } catch (error) {
        if (!(error instanceof MemoryFault)) throw error;
      }
    }
  }
  t.pass('3,800 programs');
  t.end();
});

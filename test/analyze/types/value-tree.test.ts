import t from 'tap';
import type { ModuleData } from '../../../analyze/binary/module-data.js';
import type { TypeFormat } from '../../../analyze/types/type-format.js';
import { ValueTree, type ShownValue, type TreeContext } from '../../../analyze/types/value-tree.js';
import { Values } from '../../../analyze/types/values.js';
import type { Addr } from '../../../snapshots/address.js';
import { Memory, onFault, SegmentSource } from '../../../snapshots/memory.js';
import { random } from '../../support/gsp.js';

const TYPES = 0x400000;
const TYPES_END = TYPES + 0x4000;
const HEAP = 0xc000000000;
const FORMAT: TypeFormat = { nameLength: 'varint', shiftedOffsets: false, direct: 'kind', mapBytes: 88 };
const KINDS = { int: 2, uint8: 8, array: 17, chan: 18, map: 21, ptr: 22, slice: 23, string: 24, struct: 25 } as const;
type Kind = keyof typeof KINDS;

/** Where descriptors of some types are. */
const AT = {
  int: TYPES + 0x100,
  byte: TYPES + 0x180,
  string: TYPES + 0x200,
  node: TYPES + 0x280,
  toNode: TYPES + 0x380,
  ints: TYPES + 0x400,
  map: TYPES + 0x480,
  bucket: TYPES + 0x500,
  group: TYPES + 0x600,
  swiss: TYPES + 0x700,
  eightInts: TYPES + 0x780,
  eightBytes: TYPES + 0x800,
  slot: TYPES + 0x880,
  slots: TYPES + 0x980,
  chan: TYPES + 0xa00,
} as const;

const CONTEXT: TreeContext = {
  channel: { qcount: 0, dataqsiz: 8, buf: 16, closed: 28, recvx: 48 },
  functionAt: () => null,
  refutes: () => null,
};

/** Memory with `type node struct { next *node; name string; ints []int; m map[int]int; s map[int]int; c chan int }`, and some heap. */
class Made {
  readonly types = Buffer.alloc(TYPES_END - TYPES);
  readonly heap = Buffer.alloc(0x4000);
  #names = 0x2000;
  #fields = 0x1000;

  constructor() {
    this.type(AT.int, 'int', 8, 'int');
    this.type(AT.byte, 'uint8', 1, 'uint8');
    this.type(AT.string, 'string', 16, 'string');
    this.type(AT.toNode, 'ptr', 8, '*main.node', AT.node);
    this.type(AT.ints, 'slice', 24, '[]int', AT.int);
    this.type(AT.chan, 'chan', 8, 'chan int', AT.int);
    this.type(AT.eightInts, 'array', 64, '[8]int', AT.int);
    this.word(AT.eightInts + 64, 8);
    this.type(AT.eightBytes, 'array', 8, '[8]uint8', AT.byte);
    this.word(AT.eightBytes + 64, 8);
    this.struct(AT.bucket, 144, 'map.bucket[int]int', [
      ['topbits', AT.eightBytes, 0],
      ['keys', AT.eightInts, 8],
      ['elems', AT.eightInts, 72],
      ['overflow', AT.int, 136],
    ]);
    this.struct(AT.slot, 16, 'struct { key int; elem int }', [
      ['key', AT.int, 0],
      ['elem', AT.int, 8],
    ]);
    this.type(AT.slots, 'array', 128, '[8]struct { key int; elem int }', AT.slot);
    this.word(AT.slots + 64, 8);
    this.struct(AT.group, 136, 'map.group[int]int', [
      ['ctrl', AT.int, 0],
      ['slots', AT.slots, 8],
    ]);
    for (const [map, holder] of [
      [AT.map, AT.bucket],
      [AT.swiss, AT.group],
    ] as const) {
      this.type(map, 'map', 8, 'map[int]int', AT.int);
      this.word(map + 56, AT.int);
      this.word(map + 64, holder);
    }
    this.struct(AT.node, 72, 'main.node', [
      ['next', AT.toNode, 0],
      ['name', AT.string, 8],
      ['ints', AT.ints, 24],
      ['m', AT.map, 48],
      ['s', AT.swiss, 56],
      ['c', AT.chan, 64],
    ]);
  }

  type(at: number, kind: Kind, size: number, name: string, elem = 0): void {
    this.word(at, size);
    this.types[at - TYPES + 23] = KINDS[kind];
    this.types.writeInt32LE(this.name(name), at - TYPES + 40);
    this.word(at + 48, elem);
  }

  struct(at: number, size: number, name: string, fields: readonly (readonly [string, number, number])[]): void {
    this.type(at, 'struct', size, name);
    this.word(at + 56, TYPES + this.#fields);
    this.word(at + 64, fields.length);
    for (const [field, type, offset] of fields) {
      const to = TYPES + this.#fields;
      this.word(to, TYPES + this.name(field));
      this.word(to + 8, type);
      this.word(to + 16, offset);
      this.#fields += 24;
    }
  }

  name(text: string): number {
    const at = this.#names;
    this.types[at + 1] = text.length;
    this.types.write(text, at + 2);
    this.#names += 64;
    return at;
  }

  /** Sets words of the heap or of a descriptor. */
  word(at: number, ...values: (number | bigint)[]): void {
    const [buffer, base] = at >= HEAP ? [this.heap, HEAP] : [this.types, TYPES];
    values.forEach((value, i) => buffer.writeBigUInt64LE(BigInt(value), at - base + 8 * i));
  }

  values(): Values {
    const memory = new Memory(
      new SegmentSource([
        { addr: TYPES as Addr, bytes: this.types },
        { addr: HEAP as Addr, bytes: this.heap },
      ]),
    );
    const module = { types: { lo: TYPES, hi: TYPES_END } } as unknown as ModuleData;
    return new Values(memory, [module], FORMAT);
  }

  tree(context = CONTEXT): ValueTree {
    return new ValueTree(this.values(), { depth: 6, elements: 10 }, context);
  }

  /** The node at the beginning of the heap, or a value of another type there. */
  shown(type: number = AT.node, tree = this.tree()): ShownValue {
    return tree.show({ type: this.values().typeAt(type as Addr), addr: HEAP as Addr });
  }

  field(name: string): ShownValue | undefined {
    return this.shown().fields?.find((field) => field.name === name)?.value;
  }
}

/** A node with one of everything. */
function whole(): Made {
  const made = new Made();
  const at = (n: number): number => HEAP + n;
  made.word(at(0), 0, at(0x100), 5, at(0x200), 2, 4, at(0x300), at(0x600), at(0xa00));
  made.heap.write('hello', 0x100);
  made.word(at(0x200), 7, 8);
  // hmap: count, flags and B = 0, buckets.
  made.word(at(0x300), 2, 0, at(0x400), 0);
  made.heap.set([5, 0, 200], 0x400);
  made.word(at(0x408), 1, 0, 3);
  made.word(at(0x448), 10, 0, 30);
  // Map: used, seed, dirPtr, dirLen = 0; then a group.
  made.word(at(0x600), 1, 0, at(0x700), 0);
  made.heap.set([0x80, 0x11, 0xfe, 0x80, 0x80, 0x80, 0x80, 0x80], 0x700);
  made.word(at(0x708 + 16), 4, 40);
  // hchan: qcount, dataqsiz, buf, and recvx = 1.
  made.word(at(0xa00), 2, 2, at(0xb00));
  made.word(at(0xa30), 1);
  made.word(at(0xb00), 5, 6);
  return made;
}

const entry = (key: number, value: number): unknown => ({
  key: { type: 'int', value: key },
  value: { type: 'int', value },
});

t.test('value tree: shows maps in both forms, channels and slices', (t) => {
  const made = whole();
  t.match(made.field('next'), { nil: true });
  t.match(made.field('name'), { value: 'hello', length: 5 });
  t.match(made.field('ints'), { length: 2, capacity: 4, elements: [{ value: 7 }, { value: 8 }] });
  t.match(made.field('m'), { length: 2, entries: [entry(1, 10), entry(3, 30)] });
  t.match(made.field('s'), { length: 1, entries: [entry(4, 40)] });
  t.match(
    made.field('c'),
    { length: 2, capacity: 2, elements: [{ value: 6 }, { value: 5 }] },
    'from the first received',
  );
  t.end();
});

t.test('value tree: what lies is not shown', (t) => {
  const lies: readonly [what: string, field: string, code: string, lie: (made: Made) => void][] = [
    ['a string of 2^60 bytes', 'name', 'damaged', (made) => made.word(HEAP + 16, 2n ** 60n)],
    ['a string longer than memory', 'name', 'absent', (made) => made.word(HEAP + 8, HEAP + 0x3fff, 100)],
    ['a slice longer than it can be', 'ints', 'damaged', (made) => made.word(HEAP + 32, 5)],
    ['a slice of 2^50', 'ints', 'damaged', (made) => made.word(HEAP + 32, 2n ** 50n, 2n ** 50n)],
    ['a pointer that is none', 'next', 'damaged', (made) => made.word(HEAP, 2n ** 63n)],
    ['a map with fewer entries than it says', 'm', 'damaged', (made) => made.word(HEAP + 0x300, 3)],
    ['a map with more', 'm', 'damaged', (made) => made.word(HEAP + 0x300, 1)],
    ['a map of 2^60', 'm', 'damaged', (made) => made.word(HEAP + 0x300, 2n ** 60n)],
    ['a map of 2^255 buckets', 'm', 'damaged', (made) => (made.heap[0x309] = 255)],
    ['a bucket that follows itself', 'm', 'damaged', (made) => made.word(HEAP + 0x400 + 136, HEAP + 0x400)],
    [
      'an empty bucket without end',
      'm',
      'damaged',
      (made) => {
        made.heap.fill(0, 0x400, 0x408);
        made.word(HEAP + 0x400 + 136, HEAP + 0x400);
      },
    ],
    ['a directory of 2^50 tables', 's', 'damaged', (made) => made.word(HEAP + 0x618, 2n ** 50n)],
    ['a channel with more than its room', 'c', 'damaged', (made) => made.word(HEAP + 0xa00, 3)],
    ['a channel that begins behind its end', 'c', 'damaged', (made) => made.word(HEAP + 0xa30, 2)],
    ['a type that is none', 'next', 'damaged', (made) => made.word(AT.toNode + 48, TYPES + 0x123)],
    ['a type out of range', 'next', 'damaged', (made) => made.word(AT.toNode + 48, 0xdead0000)],
    ['a map whose bucket is none', 'm', 'damaged', (made) => made.word(AT.map + 64, AT.int)],
  ];
  for (const [what, name, code, lie] of lies) {
    const made = whole();
    made.word(HEAP, HEAP);
    lie(made);
    const tree = made.tree();
    const field = made.shown(AT.node, tree).fields?.find((one) => one.name === name)?.value;
    t.match(field?.omitted, { code }, what);
    t.notOk(field?.value ?? field?.elements ?? field?.entries ?? field?.to, `${what}: nothing of it`);
    if (code === 'damaged') t.ok(tree.isContradicted, `${what}: nothing is sure`);
  }
  t.end();
});

t.test('value tree: cycles, depth and number are limited', (t) => {
  const made = whole();
  made.word(HEAP, HEAP);
  const next = made.field('next');
  t.match(next?.to?.fields?.[0]?.value, { omitted: { code: 'cycle' } });
  // Each node leads to the next one.
  for (let i = 0; i < 40; i++) made.word(HEAP + 0x1000 + 72 * i, HEAP + 0x1000 + 72 * (i + 1), 0, 0, 0, 0, 0, 0, 0, 0);
  made.word(HEAP, HEAP + 0x1000);
  let depth = 0;
  for (let at = made.field('next'); at?.to !== undefined; at = at.to.fields?.[0]?.value) depth++;
  t.equal(depth, 6);
  made.type(AT.eightInts, 'array', 2 ** 39, '[]', AT.int);
  made.word(AT.eightInts + 64, 2n ** 36n);
  t.match(made.shown(AT.eightInts), { length: 2 ** 36, elements: { length: 10 }, omitted: { code: 'limit' } });
  // A struct within itself.
  made.struct(AT.slot, 72, 'main.loop', [
    ['a', AT.slot, 0],
    ['b', AT.slot, 0],
  ]);
  t.ok(JSON.stringify(made.shown(AT.slot)).length < 10_000_000, 'a struct within itself ends');
  t.end();
});

t.test('value tree: what the heap refutes is not followed', (t) => {
  const made = whole();
  made.word(HEAP, HEAP + 0x1000);
  const tree = made.tree({
    ...CONTEXT,
    refutes: (addr, size) => (addr === HEAP + 0x1000 && size === 72 ? 'freed' : null),
  });
  t.match(made.shown(AT.node, tree).fields?.[0]?.value, { omitted: { code: 'heap' }, to: undefined });
  t.ok(tree.isContradicted);
  t.end();
});

t.test('value tree: whatever bytes are damaged, it ends and is of limited size', (t) => {
  for (let seed = 0; seed < 3000; seed++) {
    const next = random(seed);
    const made = whole();
    made.word(HEAP, HEAP);
    for (let i = 0; i < 4; i++) {
      const [buffer, length] = next(2) === 0 ? [made.types, 0x1400] : [made.heap, 0xb10];
      buffer[next(length)] = [0, 1, 0x7f, 0x80, 0xff, next(256)][next(6)] ?? 0;
    }
    const shown = onFault(
      () => JSON.stringify(made.shown()),
      () => '',
    );
    if (shown.length > 20_000_000) t.fail(`seed ${seed}: ${shown.length} characters`);
  }
  t.pass('3,000 programs');
  t.end();
});

import { plus, type Addr } from '../../snapshots/address.js';
import type { GoType, TypeField } from './type-reader.js';
import { mismatch, type Value, type Values } from './values.js';

/** hmap (runtime/map.go until 1.23; with GOEXPERIMENT=noswissmap, map_noswiss.go until 1.25): count comes first. */
export const HMAP = { logBuckets: 9, buckets: 16, oldBuckets: 24 } as const;
/** hmap.flags, and in them: it grows to a table of the same size (sameSizeGrow). */
const HMAP_FLAGS = 8;
const SAME_SIZE = 8;
/** A slot of a bucket is in use if its top byte of the hash is not below this (minTopHash); evacuated ones are below. */
export const MIN_TOP_HASH = 5;
/** Slots of a bucket (bucketCnt), and of a group (MapGroupSlots in internal/abi). */
const SLOTS = 8;
/** Map (internal/runtime/maps/map.go, 1.24 and newer): the count comes first. Without a directory, dirPtr is that of one group. */
const MAP = { dirPtr: 16, dirLen: 24 } as const;
/** table (internal/runtime/maps/table.go). */
const TABLE = { capacity: 2, index: 8, groups: 16 } as const;
/** In the control byte of a slot that is empty or deleted. */
const UNUSED = 0x80;
/** Buckets or groups that are looked at: those of half a million entries. */
const MAX_LOOKED = 1 << 16;
const MAX_LOG_BUCKETS = 40;

export interface MapEntry {
  readonly key: Value;
  readonly value: Value;
}

/** Where the keys and values of a bucket or group lie, by the fields of its type. */
interface Slots {
  readonly type: GoType;
  readonly key: Place;
  readonly value: Place;
  /** Where a bucket refers to the next one. */
  readonly overflow: number;
}

interface Place {
  readonly type: GoType;
  readonly offset: number;
  readonly stride: number;
  /** True where large keys or values are not in the slot, but at the address that is. */
  readonly isIndirect: boolean;
}

/** How many entries a map has, by its own word; its address is that of hmap or Map. Throws MemoryFault. */
export function mapLength({ memory }: Values, map: Addr): number {
  return map === 0 ? 0 : memory.word(map);
}

/**
 * The entries of a map, as they come, in both forms: buckets until Go 1.23, and groups of swiss tables since 1.24. Not more than
 * half a million slots are looked at. Throws MemoryFault for what is absent, or is not as expected.
 */
export function* mapEntries(values: Values, type: GoType, map: Addr): Iterable<MapEntry> {
  if (map === 0) return;
  const types = values.types.mapTypes(type);
  if (types === null) throw mismatch('the types of a map', type.addr);
  const fields = values.types.fieldsOf(types.bucket);
  const [first] = fields;
  if (first?.name === 'ctrl') {
    yield* inGroups(values, map, slotsOf(values, types, fields));
  } else if (first?.name === 'topbits') {
    yield* inBuckets(values, map, slotsOf(values, types, fields));
  } else throw mismatch('the type of a map', type.addr);
}

type MapTypes = NonNullable<ReturnType<Values['types']['mapTypes']>>;

/**
 * The compiler makes the types of buckets and groups (cmd/compile/internal/reflectdata/map*.go; gc/reflect.go before 1.17):
 * arrays of keys and of values, or an array of structs of both.
 */
function slotsOf(values: Values, types: MapTypes, fields: readonly TypeField[]): Slots {
  const [, first, second] = fields;
  if (first === undefined) throw mismatch('a map without keys', types.bucket.addr);
  const elem = values.typeAt(values.typeAt(first.type).elem);
  const overflow = fields.at(-1)?.offset ?? 0;
  if (first.name !== 'slots') {
    if (second === undefined) throw mismatch('a map without values', types.bucket.addr);
    const valueType = values.typeAt(values.typeAt(second.type).elem);
    const key = placeOf(types.key, elem, first.offset, elem.sizeBytes);
    const value = placeOf(types.elem, valueType, second.offset, valueType.sizeBytes);
    return { type: types.bucket, key, value, overflow };
  }
  const [keyField, valueField] = values.types.fieldsOf(elem);
  if (keyField === undefined || valueField === undefined) throw mismatch('a map without values', types.bucket.addr);
  const place = (declared: GoType, field: TypeField): Place =>
    placeOf(declared, values.typeAt(field.type), first.offset + field.offset, elem.sizeBytes);
  return { type: types.bucket, key: place(types.key, keyField), value: place(types.elem, valueField), overflow };
}

function placeOf(declared: GoType, stored: GoType, offset: number, stride: number): Place {
  const isIndirect = stored.addr !== declared.addr && stored.kind === 'ptr' && stored.elem === declared.addr;
  if (!isIndirect && stored.sizeBytes !== declared.sizeBytes) throw mismatch('the slots of a map', stored.addr);
  return { type: declared, offset, stride, isIndirect };
}

/** A map that grows has entries in the old buckets, too: those that have not moved yet. */
function* inBuckets(values: Values, map: Addr, slots: Slots): Iterable<MapEntry> {
  const { memory } = values;
  const log = memory.u8(map, HMAP.logBuckets);
  if (log > MAX_LOG_BUCKETS) throw mismatch('a map', map);
  const old = memory.ptr(map, HMAP.oldBuckets);
  const oldLog = (memory.u8(map, HMAP_FLAGS) & SAME_SIZE) === 0 ? Math.max(0, log - 1) : log;
  const arrays = [
    { at: memory.ptr(map, HMAP.buckets), count: 2 ** log },
    { at: old, count: 2 ** oldLog },
  ];
  let looked = 0;
  for (const { at, count } of arrays) {
    for (let i = 0; i < count && at !== 0; i++) {
      for (let bucket = plus(at, i * slots.type.sizeBytes); bucket !== 0; bucket = memory.ptr(bucket, slots.overflow)) {
        if (++looked > MAX_LOOKED) return;
        for (let slot = 0; slot < SLOTS; slot++) {
          if (memory.u8(bucket, slot) >= MIN_TOP_HASH) yield entryIn(values, slots, bucket, slot);
        }
      }
    }
  }
}

function* inGroups(values: Values, map: Addr, slots: Slots): Iterable<MapEntry> {
  const { memory } = values;
  const directory = memory.ptr(map, MAP.dirPtr);
  const length = memory.word(map, MAP.dirLen);
  if (directory === 0) return;
  if (length === 0) {
    yield* inGroup(values, slots, directory);
    return;
  }
  let looked = 0;
  for (let i = 0; i < length; i++) {
    if (++looked > MAX_LOOKED) return;
    const table = memory.ptr(directory, 8 * i);
    // Neighbours in the directory may be the same table, which knows the first of them.
    if (memory.word(table, TABLE.index) !== i) continue;
    const groups = memory.ptr(table, TABLE.groups);
    const count = memory.u16(table, TABLE.capacity) / SLOTS;
    for (let group = 0; group < count; group++) {
      if (++looked > MAX_LOOKED) return;
      yield* inGroup(values, slots, plus(groups, group * slots.type.sizeBytes));
    }
  }
}

function* inGroup(values: Values, slots: Slots, group: Addr): Iterable<MapEntry> {
  for (let slot = 0; slot < SLOTS; slot++) {
    if ((values.memory.u8(group, slot) & UNUSED) === 0) yield entryIn(values, slots, group, slot);
  }
}

function entryIn(values: Values, { key, value }: Slots, base: Addr, slot: number): MapEntry {
  return { key: valueIn(values, key, base, slot), value: valueIn(values, value, base, slot) };
}

function valueIn({ memory }: Values, { type, offset, stride, isIndirect }: Place, base: Addr, slot: number): Value {
  const at = plus(base, offset + stride * slot);
  return { type, addr: isIndirect ? memory.ptr(at) : at };
}

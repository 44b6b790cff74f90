import { hex, plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, onFault } from '../../snapshots/memory.js';
import { mapEntries, mapLength } from './maps.js';
import type { GoType } from './type-reader.js';
import { mismatch, Mismatch, type Value, type Values } from './values.js';

/** Why a part of a value is not shown. */
export type OmissionCode =
  /** It is deeper, or there are more, than was asked for. */
  | 'depth'
  | 'limit'
  /** The memory is not in the target. */
  | 'absent'
  /** It is not as its type says. */
  | 'damaged'
  /** It is shown further up. */
  | 'cycle'
  /** The heap has another object there. */
  | 'heap';

export interface Omission {
  readonly code: OmissionCode;
  readonly message: string;
}

/** A value as plain data: the fields that are there say of what kind it is. */
export interface ShownValue {
  /** As %T prints it, with whole paths of packages. */
  readonly type: string;
  /** A boolean, a number or a string; numbers that JSON does not have are texts. Of a string, at most its beginning. */
  readonly value?: boolean | number | string;
  readonly nil?: true;
  /** Where a pointer, a slice, a map, a channel or a function leads. */
  readonly addr?: string;
  /** What a pointer leads to, and the value in an interface. */
  readonly to?: ShownValue;
  /** Of a string in bytes, of a slice, an array and a map, and of what is buffered in a channel. */
  readonly length?: number;
  readonly capacity?: number;
  readonly closed?: boolean;
  /** Of a struct, in order. */
  readonly fields?: readonly { readonly name: string; readonly value: ShownValue }[];
  /** Of a slice, an array or a channel. */
  readonly elements?: readonly ShownValue[];
  readonly entries?: readonly { readonly key: ShownValue; readonly value: ShownValue }[];
  /** Of a function. */
  readonly func?: string;
  readonly omitted?: Omission;
}

/** How much of a value is shown. */
export interface TreeLimits {
  /** Pointers, interfaces, slices, maps and channels that are followed from the outermost value on. */
  readonly depth: number;
  /** Elements of each slice, array, map and channel. */
  readonly elements: number;
}

/** What the reader of values does not know itself. */
export interface TreeContext {
  /** Offsets in hchan (runtime/chan.go). */
  readonly channel: Readonly<Record<'qcount' | 'dataqsiz' | 'buf' | 'closed' | 'recvx', number>>;
  /** The function at an address of code; null where there is none. */
  functionAt(pc: Addr): string | null;
  /** Why there can be no object of so many bytes at an address; null where nothing contradicts. */
  refutes(addr: Addr, sizeBytes: number, hasPointers: boolean): string | null;
}

/** Values that are shown of one argument, all in all. */
const MAX_VALUES = 20_000;
/** Structs and arrays in one another, and all that is followed. */
const MAX_NESTED = 200;
/** Bytes of a string that are shown. */
const MAX_TEXT = 256;
/** A longer string, slice or channel is damage. */
const MAX_LENGTH = 2 ** 40;

/** Shows values to a depth. Whatever the memory holds, the result is of limited size. */
export class ValueTree {
  /** True once something was found that cannot be: then the value may not be what it is taken for. */
  isContradicted = false;
  readonly #values: Values;
  readonly #limits: TreeLimits;
  readonly #context: TreeContext;
  /** What is being shown: a pointer back to it is a cycle. */
  readonly #path = new Set<string>();
  #count = 0;
  #nested = 0;

  constructor(values: Values, limits: TreeLimits, context: TreeContext) {
    this.#values = values;
    this.#limits = limits;
    this.#context = context;
  }

  show(value: Value): ShownValue {
    return this.#show(value, this.#limits.depth);
  }

  /** What an address leads to, as a pointer to it. */
  showTarget(target: Value): ShownValue {
    return { type: `*${target.type.name}`, addr: hex(target.addr), ...this.#follow(target, this.#limits.depth) };
  }

  #show(value: Value, depth: number): ShownValue {
    const type = value.type.name;
    if (++this.#count > MAX_VALUES) return omit(type, 'limit', `more than ${MAX_VALUES} values`);
    if (this.#nested >= MAX_NESTED) return omit(type, 'limit', 'nested too deep');
    this.#nested++;
    try {
      return { type, ...this.#content(value, depth) };
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      return { type, omitted: this.#omissionOf(error) };
    } finally {
      this.#nested--;
    }
  }

  #omissionOf(fault: MemoryFault): Omission {
    const { addr, message } = fault;
    const absent =
      !(fault instanceof Mismatch) &&
      onFault(
        () => !this.#values.memory.has(addr as Addr, 1),
        () => true,
      );
    if (!absent) this.isContradicted = true;
    return { code: absent ? 'absent' : 'damaged', message };
  }

  #content(value: Value, depth: number): Omit<ShownValue, 'type'> {
    const { memory } = this.#values;
    const { type, addr } = value;
    switch (type.kind) {
      case 'bool': {
        const byte = memory.u8(addr);
        if (byte > 1) throw mismatch('a bool', addr);
        return { value: byte === 1 };
      }
      case 'int':
      case 'int64':
        return { value: exact(BigInt.asIntN(64, memory.u64(addr))) };
      case 'uint':
      case 'uint64':
        return { value: exact(memory.u64(addr)) };
      case 'uintptr':
      case 'unsafe.Pointer':
        return { value: hex(memory.u64(addr)) };
      case 'int8':
        return { value: (memory.u8(addr) << 24) >> 24 };
      case 'uint8':
        return { value: memory.u8(addr) };
      case 'int16':
        return { value: (memory.u16(addr) << 16) >> 16 };
      case 'uint16':
        return { value: memory.u16(addr) };
      case 'int32':
        return { value: memory.i32(addr) };
      case 'uint32':
        return { value: memory.u32(addr) };
      case 'float32':
      case 'float64':
        return { value: floatText(this.#float(addr, type.sizeBytes)) };
      case 'complex64':
      case 'complex128': {
        const half = type.sizeBytes / 2;
        return { value: `(${this.#float(addr, half)} + ${this.#float(plus(addr, half), half)}i)` };
      }
      case 'string':
        return this.#string(addr);
      case 'struct':
        return this.#struct(value, depth);
      case 'array': {
        const length = this.#values.types.arrayLength(type);
        return { length, ...this.#elements(this.#values.typeAt(type.elem), addr, length, depth) };
      }
      case 'slice':
        return this.#slice(value, depth);
      case 'ptr':
        return this.#pointer(value, depth);
      case 'interface':
        return this.#interface(value, depth);
      case 'map':
        return this.#map(value, depth);
      case 'chan':
        return this.#channel(value, depth);
      case 'func':
        return this.#func(addr);
      case 'invalid':
        throw mismatch('a type', type.addr);
    }
  }

  #float(addr: Addr, sizeBytes: number): number {
    const view = new DataView(this.#values.memory.bytes(addr, sizeBytes).buffer);
    return sizeBytes === 4 ? view.getFloat32(0, true) : view.getFloat64(0, true);
  }

  #string(addr: Addr): Omit<ShownValue, 'type'> {
    const { memory } = this.#values;
    const length = memory.word(addr, 8);
    if (length > MAX_LENGTH) throw mismatch('a string', addr);
    if (length === 0) return { value: '', length };
    const data = memory.ptr(addr);
    const why = this.#context.refutes(data, length, false);
    if (why !== null) return this.#refuted(data, why);
    const value = memory.string(data, Math.min(length, MAX_TEXT));
    // A character may be cut in two.
    return { value: length > MAX_TEXT ? value.replace(/\ufffd$/, '') : value, length };
  }

  #struct({ type, addr }: Value, depth: number): Omit<ShownValue, 'type'> {
    const fields = this.#values.types.fieldsOf(type);
    if (fields.length === 0 && type.sizeBytes > 0) throw mismatch('a struct', type.addr);
    return {
      fields: fields.map((field) => {
        const fieldType = this.#values.types.at(field.type);
        const at = plus(addr, field.offset);
        const value: ShownValue =
          fieldType === null
            ? omit('?', 'damaged', `the type at ${hex(field.type)} is not as expected`)
            : this.#show({ type: fieldType, addr: at }, depth);
        return { name: field.name, value };
      }),
    };
  }

  #elements(type: GoType, at: Addr, length: number, depth: number): Pick<ShownValue, 'elements' | 'omitted'> {
    const count = Math.min(length, this.#limits.elements);
    const elements: ShownValue[] = [];
    for (let i = 0; i < count && this.#count <= MAX_VALUES; i++) {
      elements.push(this.#show({ type, addr: plus(at, i * type.sizeBytes) }, depth));
    }
    return elements.length === length ? { elements } : { elements, omitted: more(length - elements.length) };
  }

  #slice({ type, addr }: Value, depth: number): Omit<ShownValue, 'type'> {
    const { memory } = this.#values;
    const data = memory.ptr(addr);
    const [length, capacity] = [memory.word(addr, 8), memory.word(addr, 16)];
    const elem = this.#values.typeAt(type.elem);
    if (length > capacity || capacity > MAX_LENGTH || (data === 0 && capacity > 0)) throw mismatch('a slice', addr);
    if (data === 0) return { nil: true, length: 0, capacity: 0 };
    const head = { addr: hex(data), length, capacity };
    if (length === 0) return { ...head, elements: [] };
    if (depth <= 0) return { ...head, omitted: TOO_DEEP };
    const why = this.#context.refutes(data, capacity * elem.sizeBytes, elem.pointerBytes > 0);
    if (why !== null) return { ...head, ...this.#refuted(data, why) };
    return { ...head, ...this.#elements(elem, data, length, depth - 1) };
  }

  #pointer({ type, addr }: Value, depth: number): Omit<ShownValue, 'type'> {
    const to = this.#values.memory.ptr(addr);
    if (to === 0) return { nil: true };
    const elem = this.#values.typeAt(type.elem);
    return { addr: hex(to), ...this.#follow({ type: elem, addr: to }, depth) };
  }

  #interface(value: Value, depth: number): Omit<ShownValue, 'type'> {
    const { memory, types } = this.#values;
    const word = memory.ptr(value.addr);
    if (word === 0) return { nil: true };
    const dynamic = types.ofInterface(word, types.hasMethods(value.type));
    if (dynamic === null) throw mismatch('the type of an interface', value.addr);
    // A pointer in an interface is followed in one step.
    if (dynamic.isDirect) return { to: this.#show({ type: dynamic, addr: plus(value.addr, 8) }, depth) };
    const at = memory.ptr(value.addr, 8);
    const { to, omitted } = this.#follow({ type: dynamic, addr: at }, depth);
    return { to: to ?? { type: dynamic.name, ...(omitted === undefined ? {} : { omitted }) } };
  }

  /** What a pointer leads to. */
  #follow(target: Value, depth: number): Pick<ShownValue, 'to' | 'omitted'> {
    const { type, addr } = target;
    if (depth <= 0) return { omitted: TOO_DEEP };
    const why = this.#context.refutes(addr, type.sizeBytes, type.pointerBytes > 0);
    if (why !== null) return this.#refuted(addr, why);
    const key = `${addr} ${type.addr}`;
    if (this.#path.has(key)) return { omitted: { code: 'cycle', message: 'shown further up' } };
    this.#path.add(key);
    try {
      return { to: this.#show(target, depth - 1) };
    } finally {
      this.#path.delete(key);
    }
  }

  #map({ type, addr }: Value, depth: number): Omit<ShownValue, 'type'> {
    const map = this.#values.memory.ptr(addr);
    if (map === 0) return { nil: true, length: 0 };
    const length = mapLength(this.#values, map);
    if (length > MAX_LENGTH) throw mismatch('a map', map);
    const head = { addr: hex(map), length };
    if (length === 0) return { ...head, entries: [] };
    if (depth <= 0) return { ...head, omitted: TOO_DEEP };
    const found = [];
    let isCut = false;
    for (const entry of mapEntries(this.#values, type, map)) {
      isCut = found.length === this.#limits.elements;
      if (isCut) break;
      found.push(entry);
    }
    if (isCut ? length <= found.length : length !== found.length) throw mismatch(`a map of ${length}`, map);
    const entries = found.map(({ key, value }) => ({
      key: this.#show(key, depth - 1),
      value: this.#show(value, depth - 1),
    }));
    return { ...head, entries, ...(isCut ? { omitted: more(length - found.length) } : {}) };
  }

  #channel({ type, addr }: Value, depth: number): Omit<ShownValue, 'type'> {
    const { memory } = this.#values;
    const at = this.#context.channel;
    const channel = memory.ptr(addr);
    if (channel === 0) return { nil: true };
    const elem = this.#values.typeAt(type.elem);
    const [length, capacity] = [memory.word(channel, at.qcount), memory.word(channel, at.dataqsiz)];
    if (length > capacity || capacity > MAX_LENGTH) throw mismatch('a channel', channel);
    const head = { addr: hex(channel), length, capacity, closed: memory.u32(channel, at.closed) !== 0 };
    if (length === 0) return { ...head, elements: [] };
    if (depth <= 0) return { ...head, omitted: TOO_DEEP };
    const [buffer, first] = [memory.ptr(channel, at.buf), memory.word(channel, at.recvx)];
    if (first >= capacity) throw mismatch('a channel', channel);
    const elements: ShownValue[] = [];
    for (let i = 0; i < Math.min(length, this.#limits.elements); i++) {
      const slot = (first + i) % capacity;
      elements.push(this.#show({ type: elem, addr: plus(buffer, slot * elem.sizeBytes) }, depth - 1));
    }
    const rest = length - elements.length;
    return { ...head, elements, ...(rest > 0 ? { omitted: more(rest) } : {}) };
  }

  /** A function value is the address of a word that is that of the code; variables of a closure follow. */
  #func(addr: Addr): Omit<ShownValue, 'type'> {
    const { memory } = this.#values;
    const closure = memory.ptr(addr);
    if (closure === 0) return { nil: true };
    const func = this.#context.functionAt(memory.ptr(closure));
    if (func === null) throw mismatch('a function', closure);
    return { addr: hex(closure), func };
  }

  #refuted(addr: Addr, why: string): Pick<ShownValue, 'omitted'> {
    this.isContradicted = true;
    return { omitted: { code: 'heap', message: `${hex(addr)}: ${why}` } };
  }
}

const TOO_DEEP: Omission = { code: 'depth', message: 'deeper than asked for' };

function omit(type: string, code: OmissionCode, message: string): ShownValue {
  return { type, omitted: { code, message } };
}

function more(count: number): Omission {
  return { code: 'limit', message: `${count} more` };
}

function exact(n: bigint): number | string {
  return n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n.toString();
}

/** JSON has neither NaN nor infinities. */
function floatText(n: number): number | string {
  return Number.isFinite(n) && !Object.is(n, -0) ? n : Object.is(n, -0) ? '-0' : String(n);
}

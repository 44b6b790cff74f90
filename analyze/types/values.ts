import { hex, plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, onFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import type { TypeFormat } from './type-format.js';
import { TypeIndex } from './type-index.js';
import { TypeReader, type GoType, type TypeField } from './type-reader.js';

/** Structs embedded in one another that are searched for a field. */
const MAX_EMBEDDED = 4;
/** Longer strings are cut, in bytes: those of a program may be as long as its memory. */
const MAX_STRING = 4096;
/** Pieces of memory that are remembered: what is told of a goroutine takes fewer. */
const MAX_MET = 256;

/** A value: its type, and where it lies. */
export interface Value {
  readonly type: GoType;
  readonly addr: Addr;
}

/** A value that is not as the reader takes it to be: of another version of a library, or damaged. */
export class Mismatch extends MemoryFault {}

export function mismatch(what: string, addr: number): Mismatch {
  return new Mismatch(addr, `${what} at ${hex(addr)} is not as expected`);
}

/** A piece of memory that a pointer led to. */
export interface Met {
  readonly addr: Addr;
  readonly sizeBytes: number;
  readonly hasPointers: boolean;
}

/** Reads the values of a program by their types. All methods throw MemoryFault for what is absent, damaged or different. */
export class Values {
  readonly memory: Memory;
  readonly types: TypeReader;
  readonly index: TypeIndex;
  /** What pointers led to since {@link forget}: whether all of it can be there decides whether what was read is sure. */
  readonly #met: Met[] = [];
  /** The names in paths, and the fields of structs by name; null where a struct has none of the name. */
  readonly #paths = new Map<string, readonly string[]>();
  readonly #fields = new Map<GoType, Map<string, TypeField | null>>();

  constructor(memory: Memory, modules: readonly ModuleData[], format: TypeFormat) {
    this.memory = memory;
    this.types = new TypeReader(memory, modules, format);
    this.index = new TypeIndex(memory, modules, this.types);
  }

  get met(): readonly Met[] {
    return this.#met;
  }

  /** Begins anew with {@link met}. */
  forget(): void {
    this.#met.length = 0;
  }

  /** What `read` returns; null where it throws MemoryFault. What it met on the way to nothing does not count. */
  attempt<T>(read: () => T | null): T | null {
    const before = this.#met.length;
    const found = onFault<T | null, null>(read, () => null);
    if (found === null) this.#met.length = before;
    return found;
  }

  /** The value of a named type at an address. */
  at(typeName: string, addr: Addr): Value {
    const type = this.index.named(typeName);
    if (type === null || addr === 0) throw mismatch(typeName, addr);
    return this.#led(type, addr);
  }

  /**
   * The value that a path of fields leads to, such as `fd.pfd.Sysfd`: pointers are followed, interfaces too, and fields of
   * embedded structs are found as in Go. null where a pointer or an interface on the way is nil.
   */
  get(value: Value, path: string): Value | null {
    let at: Value = value;
    for (const name of this.#namesIn(path)) {
      const struct = this.target(at);
      if (struct === null) return null;
      const field = this.fieldOf(struct.type, name);
      if (field === null) throw mismatch(`${struct.type.name} without ${name}`, struct.type.addr);
      at = { type: this.typeAt(field.type), addr: plus(struct.addr, field.offset) };
    }
    return at;
  }

  /** What a struct has in a field of it; null where the type of the field is damaged. */
  fieldValue(struct: Value, field: TypeField): Value | null {
    const type = this.types.at(field.type);
    return type === null ? null : { type, addr: plus(struct.addr, field.offset) };
  }

  /** The field of a struct, or of one that is embedded in it, by its name; null where there is none. */
  fieldOf(struct: GoType, name: string): TypeField | null {
    let known = this.#fields.get(struct);
    if (known === undefined) this.#fields.set(struct, (known = new Map<string, TypeField | null>()));
    let field = known.get(name);
    if (field === undefined) known.set(name, (field = this.#findField(struct, name, 0)));
    return field;
  }

  /** What a pointer or an interface leads to, the value itself if it is neither; null for nil. */
  target(value: Value): Value | null {
    let { type, addr } = value;
    if (type.kind === 'interface') {
      const word = this.memory.ptr(addr);
      if (word === 0) return null;
      const dynamic = this.types.ofInterface(word, this.types.hasMethods(type));
      if (dynamic === null) throw mismatch('the type of an interface', addr);
      [type, addr] = [dynamic, dynamic.isDirect ? plus(addr, 8) : this.memory.ptr(addr, 8)];
    }
    if (type.kind !== 'ptr') return { type, addr };
    const to = this.memory.ptr(addr);
    return to === 0 ? null : this.#led(this.typeAt(type.elem), to);
  }

  #led(type: GoType, addr: Addr): Value {
    this.#meet(addr, type.sizeBytes, type.pointerBytes > 0);
    return { type, addr };
  }

  #meet(addr: Addr, sizeBytes: number, hasPointers: boolean): void {
    if (this.#met.length < MAX_MET) this.#met.push({ addr, sizeBytes, hasPointers });
  }

  /** A string. Of one that is longer than any that is shown, the beginning. */
  string({ type, addr }: Value): string {
    if (type.kind !== 'string') throw mismatch('a string', addr);
    return this.stringAt(this.memory.word(addr), this.memory.word(addr, 8));
  }

  /** The string that two words make. */
  stringAt(data: number, length: number): string {
    if (length > 2 ** 40) throw mismatch('a string', data);
    if (length === 0) return '';
    this.#meet(data as Addr, length, false);
    return this.memory.string(data as Addr, Math.min(length, MAX_STRING));
  }

  /** A boolean, or a whole number that fits. */
  number({ type, addr }: Value): number {
    const memory = this.memory;
    switch (type.kind) {
      case 'bool':
      case 'uint8':
        return memory.u8(addr);
      case 'uint16':
        return memory.u16(addr);
      case 'int32':
        return memory.i32(addr);
      case 'uint32':
        return memory.u32(addr);
      case 'int':
      case 'int64':
        return Number(BigInt.asIntN(64, memory.u64(addr)));
      case 'uint':
      case 'uint64':
      case 'uintptr':
        return memory.word(addr);
      default:
        throw mismatch(type.kind, addr);
    }
  }

  /** The bytes of a slice of them; null if there are more than `max`. */
  bytes({ type, addr }: Value, max: number): Uint8Array | null {
    const length = this.memory.word(addr, 8);
    if (type.kind !== 'slice' || this.types.at(type.elem)?.sizeBytes !== 1) throw mismatch('bytes', addr);
    return length > max ? null : this.memory.bytes(this.memory.ptr(addr), length);
  }

  /** The type whose descriptor is at an address. */
  typeAt(addr: Addr): GoType {
    const type = this.types.at(addr);
    if (type === null) throw mismatch('a type', addr);
    return type;
  }

  #namesIn(path: string): readonly string[] {
    let names = this.#paths.get(path);
    if (names === undefined) this.#paths.set(path, (names = path.split('.')));
    return names;
  }

  /** As in Go, the field that is embedded least deep. */
  #findField(struct: GoType, name: string, depth: number): TypeField | null {
    const fields = this.types.fieldsOf(struct);
    const own = fields.find((field) => field.name === name);
    if (own !== undefined) return own;
    for (const outer of depth < MAX_EMBEDDED ? fields : []) {
      const type = this.types.at(outer.type);
      if (type?.kind !== 'struct' || !type.name.endsWith(`.${outer.name}`)) continue;
      const inner = this.#findField(type, name, depth + 1);
      if (inner !== null) return { ...inner, offset: outer.offset + inner.offset };
    }
    return null;
  }
}

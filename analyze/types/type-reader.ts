import { plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, onFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import type { TypeFormat } from './type-format.js';
import { TFLAG, TypeNames } from './type-names.js';

/** By the number in a descriptor: abi.Kind in internal/abi/type.go; runtime/typekind.go before 1.21. */
const KINDS = [
  ...(['invalid', 'bool', 'int', 'int8', 'int16', 'int32', 'int64', 'uint', 'uint8', 'uint16', 'uint32'] as const),
  ...(['uint64', 'uintptr', 'float32', 'float64', 'complex64', 'complex128', 'array', 'chan', 'func'] as const),
  ...(['interface', 'map', 'ptr', 'slice', 'string', 'struct', 'unsafe.Pointer'] as const),
] as const;
export type Kind = (typeof KINDS)[number];

/** Offsets of further fields in a descriptor. What belongs to the kind of the type begins at HEAD. */
const SIZE = 0;
const PTRDATA = 8;
const HASH = 16;
const KIND = 23;
const PTR_TO_THIS = 44;
const HEAD = 48;
/** In `kind`: the number, and KindDirectIface until 1.25. In `tflag`: of an uncommon type, a named one, and a direct one since 1.26. */
const KIND_MASK = 31;
const KIND_DIRECT = 32;
const UNCOMMON = 1;
const NAMED = 4;
const FLAG_DIRECT = 32;
/** structtype.fields and interfacetype.methods: a slice. */
const LIST = 56;
/** structfield: name, type, offset. */
const FIELD_BYTES = 24;
/** More fields than a struct of a program has. */
const MAX_FIELDS = 4096;
/** Larger types are none. */
const MAX_BYTES = 2 ** 40;
/** Size of the part of a descriptor that belongs to its kind, where that is more than none. */
const KIND_BYTES: Readonly<Partial<Record<Kind, number>>> = {
  array: 72,
  chan: 64,
  func: 56,
  interface: 80,
  ptr: 56,
  slice: 56,
  struct: 80,
};
/** uncommontype: pkgPath, then the number of methods, and how far away they are; and its size. A method begins with its name. */
const METHOD_COUNT = 4;
const METHODS_AT = 8;
const UNCOMMON_BYTES = 16;
const METHOD_BYTES = 16;
/** maptype (internal/abi/map.go; runtime/type.go before 1.21): the types of keys, of values, and of a bucket or group of them. */
const MAP = { key: 48, elem: 56, bucket: 64 } as const;
/** arraytype.len. */
const ARRAY_LENGTH = 64;
/** func: how many parameters it has, and results; the top bit of the latter says that it is variadic. */
const IN_COUNT = 48;
const OUT_COUNT = 50;
/** itab (runtime/runtime2.go; abi.ITab since 1.22): the interface, the type, and its hash. */
const ITAB = { inter: 0, type: 8, hash: 16 } as const;

/** A field of a struct. */
export interface TypeField {
  readonly name: string;
  readonly type: Addr;
  readonly offset: number;
}

/** What the descriptor of a type says. */
export interface GoType {
  readonly addr: Addr;
  readonly kind: Kind;
  readonly sizeBytes: number;
  /** Bytes up to the end of the last pointer in it; 0 where it has none. */
  readonly pointerBytes: number;
  readonly hash: number;
  /** True where an interface holds the value itself, not its address. */
  readonly isDirect: boolean;
  /** Of a pointer, a slice, an array or a channel; 0 for others. */
  readonly elem: Addr;
  /** As %T prints it; with the whole path of the package where the type has a name: `net/http.conn`. */
  readonly name: string;
}

/**
 * Reads the types of a program out of their descriptors, which the runtime needs itself: every program has them, whatever
 * was stripped. What is damaged is no type.
 */
export class TypeReader {
  readonly names: TypeNames;
  readonly #memory: Memory;
  readonly #modules: readonly ModuleData[];
  readonly #format: TypeFormat;
  readonly #known = new Map<Addr, GoType | null>();
  readonly #fields = new Map<Addr, readonly TypeField[]>();

  constructor(memory: Memory, modules: readonly ModuleData[], format: TypeFormat) {
    this.#memory = memory;
    this.#modules = modules;
    this.#format = format;
    this.names = new TypeNames(memory, modules, format);
  }

  /** The type whose descriptor is at an address; null where there is none, or it was made while the program ran. */
  at(addr: Addr): GoType | null {
    let type = this.#known.get(addr);
    if (type === undefined) {
      type = onFault<GoType | null, null>(
        () => this.#read(addr),
        () => null,
      );
      this.#known.set(addr, type);
    }
    return type;
  }

  /** The fields of a struct, in order; none for other types, and for damaged ones. */
  fieldsOf(type: GoType): readonly TypeField[] {
    if (type.kind !== 'struct') return [];
    let fields = this.#fields.get(type.addr);
    if (fields === undefined) {
      fields = onFault<TypeField[], TypeField[]>(
        () => this.#readFields(type),
        () => [],
      );
      this.#fields.set(type.addr, fields);
    }
    return fields;
  }

  /** The type of the values in an interface whose first word this is: of an itab, or of a type if it has no methods. */
  ofInterface(word: Addr, hasMethods: boolean): GoType | null {
    if (!hasMethods) return this.at(word);
    // Most words that may be such are something else.
    if (this.#memory.wordOr0(word, ITAB.inter) === 0) return null;
    return onFault(
      () => {
        const type = this.at(this.#memory.ptr(word, ITAB.type));
        const inter = this.at(this.#memory.ptr(word, ITAB.inter));
        const fits = inter?.kind === 'interface' && type?.hash === this.#memory.u32(word, ITAB.hash);
        return fits ? type : null;
      },
      () => null,
    );
  }

  /** True for an interface that has methods: its first word is an itab. */
  hasMethods({ addr, kind }: GoType): boolean {
    return kind === 'interface' && this.#memory.word(addr, LIST + 8) > 0;
  }

  /** How many elements an array has. Throws MemoryFault. */
  arrayLength({ addr }: GoType): number {
    return this.#memory.word(addr, ARRAY_LENGTH);
  }

  /** The types of the keys and values of a map, and of what holds several of them; null where one is damaged. Throws MemoryFault. */
  mapTypes({ addr }: GoType): { readonly key: GoType; readonly elem: GoType; readonly bucket: GoType } | null {
    const [key, elem, bucket] = [MAP.key, MAP.elem, MAP.bucket].map((at) => this.at(this.#memory.ptr(addr, at)));
    return key && elem && bucket ? { key, elem, bucket } : null;
  }

  /** True if a named type, or a pointer to one, has a method of this name: the linker lists all, those that it dropped too. */
  hasMethod({ addr, kind }: GoType, name: string): boolean {
    const memory = this.#memory;
    return onFault(
      () => {
        const lo = this.#modules.find(({ types }) => addr >= types.lo && addr < types.hi)?.types.lo;
        const uncommon = this.#uncommon(addr, kind);
        if (uncommon === null || lo === undefined) return false;
        const methods = plus(uncommon, memory.u32(uncommon, METHODS_AT));
        const count = memory.u16(uncommon, METHOD_COUNT);
        for (let i = 0; i < count; i++) {
          if (this.names.text(plus(lo, memory.i32(methods, METHOD_BYTES * i))) === name) return true;
        }
        return false;
      },
      () => false,
    );
  }

  /** The type of pointers to one, if the program has it. */
  pointerTo({ addr }: GoType): GoType | null {
    return onFault(
      () => {
        const lo = this.#modules.find(({ types }) => addr >= types.lo && addr < types.hi)?.types.lo;
        const offset = this.#memory.i32(addr, PTR_TO_THIS);
        const type = lo === undefined || offset === 0 ? null : this.at(plus(lo, offset));
        return type?.kind === 'ptr' && type.elem === addr ? type : null;
      },
      () => null,
    );
  }

  /** Bytes that the descriptor at an address takes, with all that lies right behind it. Throws MemoryFault. */
  descriptorBytes(addr: Addr): number {
    const memory = this.#memory;
    const kind = KINDS[memory.u8(addr, KIND) & KIND_MASK];
    if (kind === undefined || kind === 'invalid') throw new MemoryFault(addr, 'there is no type');
    const uncommon = this.#uncommon(addr, kind);
    const own = this.#kindBytes(kind) + (uncommon === null ? 0 : UNCOMMON_BYTES);
    const methods = uncommon === null ? 0 : memory.u16(uncommon, METHOD_COUNT);
    const listed = kind === 'struct' || kind === 'interface' ? memory.word(addr, LIST + 8) : 0;
    const parameters = kind === 'func' ? memory.u16(addr, IN_COUNT) + (memory.u16(addr, OUT_COUNT) & 0x7fff) : 0;
    const listedBytes = kind === 'struct' ? FIELD_BYTES : 8;
    return own + 8 * parameters + listedBytes * listed + METHOD_BYTES * methods;
  }

  #read(addr: Addr): GoType | null {
    if (addr % 8 !== 0 || !this.#modules.some(({ types: { lo, hi } }) => addr >= lo && addr < hi)) return null;
    const memory = this.#memory;
    const [tflag, kindByte] = [memory.u8(addr, TFLAG), memory.u8(addr, KIND)];
    const kind = KINDS[kindByte & KIND_MASK];
    const sizeBytes = memory.word(addr, SIZE);
    const pointerBytes = memory.word(addr, PTRDATA);
    if (kind === undefined || kind === 'invalid' || sizeBytes > MAX_BYTES || pointerBytes > sizeBytes) return null;
    const short = this.names.at(addr);
    if (short === null) return null;
    const hasElem = kind === 'ptr' || kind === 'slice' || kind === 'array' || kind === 'chan';
    return {
      addr,
      kind,
      sizeBytes,
      pointerBytes,
      hash: memory.u32(addr, HASH),
      isDirect: this.#format.direct === 'kind' ? (kindByte & KIND_DIRECT) !== 0 : (tflag & FLAG_DIRECT) !== 0,
      elem: hasElem ? memory.ptr(addr, HEAD) : (0 as Addr),
      name: (tflag & NAMED) === 0 ? short : this.#withPath(addr, kind, short),
    };
  }

  /** The name of a package is in the name of its types; the path is not. */
  #withPath(addr: Addr, kind: Kind, short: string): string {
    const uncommon = this.#uncommon(addr, kind);
    const at = uncommon === null ? 0 : this.#memory.i32(uncommon);
    const lo = this.#modules.find(({ types }) => addr >= types.lo && addr < types.hi)?.types.lo;
    const dot = short.indexOf('.');
    if (at <= 0 || lo === undefined || dot < 0) return short;
    const path = this.names.text(plus(lo, at));
    return path === '' ? short : path + short.slice(dot);
  }

  #uncommon(addr: Addr, kind: Kind): Addr | null {
    return (this.#memory.u8(addr, TFLAG) & UNCOMMON) === 0 ? null : plus(addr, this.#kindBytes(kind));
  }

  #kindBytes(kind: Kind): number {
    return kind === 'map' ? this.#format.mapBytes : (KIND_BYTES[kind] ?? HEAD);
  }

  #readFields({ addr, sizeBytes }: GoType): TypeField[] {
    const memory = this.#memory;
    const list = memory.ptr(addr, LIST);
    const count = memory.word(addr, LIST + 8);
    if (count > MAX_FIELDS) return [];
    return Array.from({ length: count }, (_, i) => {
      const at = plus(list, FIELD_BYTES * i);
      const raw = memory.word(at, 16);
      const offset = this.#format.shiftedOffsets ? Math.floor(raw / 2) : raw;
      return { name: this.names.text(memory.ptr(at)), type: memory.ptr(at, 8), offset };
    }).filter(({ offset }) => offset <= sizeBytes);
  }
}

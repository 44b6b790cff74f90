import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import type { TypeFormat } from './type-format.js';

/** Byte offsets in a type descriptor, in all releases: abi.Type in internal/abi/type.go; _type in runtime/type.go before 1.21. */
export const TFLAG = 20;
const STR = 40;
/** Set in `tflag` where the name in `str` has a `*` in front that is not the type's. */
const EXTRA_STAR = 2;
/** Longest name, in bytes: those of unnamed structs have all their fields in them. */
const MAX_NAME = 4096;

/** The names of types, as `%T` prints them. */
export class TypeNames {
  readonly #memory: Memory;
  readonly #modules: readonly Pick<ModuleData, 'types'>[];
  readonly #format: TypeFormat;
  readonly #known = new Map<Addr, string | null>();

  constructor(memory: Memory, modules: readonly Pick<ModuleData, 'types'>[], format: TypeFormat) {
    this.#memory = memory;
    this.#modules = modules;
    this.#format = format;
  }

  /** The name of the type whose descriptor is at an address; null where it is absent, or was made while the program ran. */
  at(type: Addr): string | null {
    let name = this.#known.get(type);
    if (name === undefined) {
      name = onFault(
        () => this.#read(type),
        () => null,
      );
      this.#known.set(type, name);
    }
    return name;
  }

  /** As resolveNameOff in runtime/type.go. */
  #read(type: Addr): string | null {
    const types = this.#modules.find(({ types: { lo, hi } }) => type >= lo && type < hi)?.types;
    if (types === undefined) return null;
    const memory = this.#memory;
    const at = plus(types.lo, memory.u32(type, STR));
    if (at === types.lo || at >= types.hi) return null;
    const name = this.text(at);
    if (name === '') return null;
    const hasExtraStar = (memory.u8(type, TFLAG) & EXTRA_STAR) !== 0;
    return hasExtraStar && name.startsWith('*') ? name.slice(1) : name;
  }

  /** The text of a name, also of a field or package; empty where it is too long. Throws MemoryFault. */
  text(name: Addr): string {
    const { start, length } = this.#lengthAt(name);
    return length > MAX_NAME ? '' : this.#memory.string(start, length);
  }

  /** A name: a byte of flags, its length, its text. */
  #lengthAt(name: Addr): { start: Addr; length: number } {
    const memory = this.#memory;
    const [first, second] = [memory.u8(name, 1), memory.u8(name, 2)];
    if (this.#format.nameLength === 'two bytes') return { start: plus(name, 3), length: 256 * first + second };
    return first < 128
      ? { start: plus(name, 2), length: first }
      : { start: plus(name, 3), length: first - 128 + 128 * second };
  }
}

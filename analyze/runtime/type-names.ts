import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import type { GoRelease } from './releases.js';

/** Byte offsets in a type descriptor, in all releases: abi.Type in internal/abi/type.go; _type in runtime/type.go before 1.21. */
const TFLAG = 20;
const STR = 40;
/** Set where the name in `str` has a `*` in front that is not the type's. */
const EXTRA_STAR = 2;
/** Longest name, in bytes: those of unnamed structs have all their fields in them. */
const MAX_NAME = 4096;

/** The names of types, as `%T` prints them. */
export class TypeNames {
  readonly #memory: Memory;
  readonly #modules: readonly Pick<ModuleData, 'types'>[];
  readonly #release: GoRelease;
  readonly #known = new Map<Addr, string | null>();

  constructor(memory: Memory, modules: readonly Pick<ModuleData, 'types'>[], release: GoRelease) {
    this.#memory = memory;
    this.#modules = modules;
    this.#release = release;
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
    const { start, length } = this.#lengthAt(at);
    if (length === 0 || length > MAX_NAME) return null;
    const name = memory.string(start, length);
    const hasExtraStar = (memory.u8(type, TFLAG) & EXTRA_STAR) !== 0;
    return hasExtraStar && name.startsWith('*') ? name.slice(1) : name;
  }

  /** A name: a byte of flags, its length, its text. */
  #lengthAt(name: Addr): { start: Addr; length: number } {
    const memory = this.#memory;
    const [first, second] = [memory.u8(name, 1), memory.u8(name, 2)];
    if (this.#release.nameLength === 'two bytes') return { start: plus(name, 3), length: 256 * first + second };
    return first < 128
      ? { start: plus(name, 2), length: first }
      : { start: plus(name, 3), length: first - 128 + 128 * second };
  }
}

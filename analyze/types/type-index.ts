import { alignUp, plus, type Addr } from '../../snapshots/address.js';
import { firstIndex } from '../../snapshots/binary-search.js';
import { MemoryFault, onFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import type { GoType, TypeReader } from './type-reader.js';

/** Descriptors that one module lists; no program has as many. */
const MAX_LISTED = 1 << 22;
/** Types that are looked at for one that tells the name of its package. */
const MAX_SIBLINGS = 256;

/** Finds types by their names. */
export class TypeIndex {
  readonly #modules: readonly ListedTypes[];
  readonly #known = new Map<string, GoType | null>();

  constructor(memory: Memory, modules: readonly ModuleData[], reader: TypeReader) {
    this.#modules = modules.map((module) => new ListedTypes(memory, module, reader));
  }

  /**
   * The type with a name, such as `net/http.conn`; null where the program has none, or where several types of one module have it, as
   * types of functions may. Of several modules, the first one that has it counts.
   */
  named(name: string): GoType | null {
    let type = this.#known.get(name);
    if (type === undefined) this.#known.set(name, (type = this.#find(name)));
    return type;
  }

  #find(name: string): GoType | null {
    for (const module of this.#modules) {
      const type = module.named(name);
      if (type !== undefined) return type;
    }
    return null;
  }
}

/** Addresses of descriptors. */
interface List {
  readonly length: number;
  at(index: number): Addr;
}

/**
 * The types that a module lists: all that have no name of their own, so also the pointers to those that have one. They are
 * sorted by their names as %T prints them, in which packages have no path (dodata in cmd/link/internal/ld; rtypesByString in
 * package reflect). Up to 1.26, the list is moduledata.typelinks, an offset for each; since 1.27 it is the descriptors
 * themselves, which begin right behind a word at moduledata.types and lie one after another for moduledata.typedesclen bytes.
 */
class ListedTypes {
  readonly #memory: Memory;
  readonly #module: ModuleData;
  readonly #reader: TypeReader;
  #list: List | null = null;
  #byName: Map<string, GoType | null> | null = null;

  constructor(memory: Memory, module: ModuleData, reader: TypeReader) {
    this.#memory = memory;
    this.#module = module;
    this.#reader = reader;
  }

  /** The type with a name; null where there are several, undefined where there is none. */
  named(name: string): GoType | null | undefined {
    const found = onFault<GoType | null | 'none' | 'unsure', 'unsure'>(
      () => this.#search(name),
      () => 'unsure',
    );
    if (found === 'none') return undefined;
    return found === 'unsure' ? (this.#byName ??= this.#readAll()).get(name) : found;
  }

  /** The same by a binary search; unsure where the package may have another name than its path suggests. */
  #search(name: string): GoType | null | 'none' | 'unsure' {
    const { path, base } = partsOf(name);
    const packages = packageNames(path);
    for (const prefix of packages) {
      for (const short of [`*${prefix}${base}`, `${prefix}${base}`]) {
        const found = this.#between(short).filter((type) => type.name === name);
        if (found.length > 0) return new Set(found).size > 1 ? null : (found[0] ?? null);
      }
    }
    return path === '' || packages.some((prefix) => this.#isNameOf(path, prefix)) ? 'none' : 'unsure';
  }

  /** What those of the list that have a short name are, or point to. */
  #between(short: string): GoType[] {
    const out: GoType[] = [];
    for (let i = this.#firstFrom(short); i < this.#listed.length && this.#nameAt(i) === short; i++) {
      const type = this.#typeAt(i);
      if (type !== null) out.push(type);
    }
    return out;
  }

  /** True if a type of the package with this path shows that the prefix is the one of its types. */
  #isNameOf(path: string, prefix: string): boolean {
    const from = this.#firstFrom(`*${prefix}.`);
    const to = Math.min(this.#listed.length, from + MAX_SIBLINGS);
    for (let i = from; i < to && this.#nameAt(i).startsWith(`*${prefix}.`); i++) {
      const type = this.#typeAt(i);
      if (type !== null && partsOf(type.name).path === path) return true;
    }
    return false;
  }

  #firstFrom(short: string): number {
    return firstIndex(this.#listed.length, (index) => this.#nameAt(index) >= short);
  }

  #nameAt(index: number): string {
    const addr = this.#listed.at(index);
    const name = this.#reader.names.at(addr);
    if (name === null) throw new MemoryFault(addr, 'a type that the program lists has no name');
    return name;
  }

  /** The type in the list, or the one that it points to. */
  #typeAt(index: number): GoType | null {
    const type = this.#reader.at(this.#listed.at(index));
    return type?.kind === 'ptr' ? this.#reader.at(type.elem) : type;
  }

  #readAll(): Map<string, GoType | null> {
    const byName = new Map<string, GoType | null>();
    onFault(
      () => {
        for (let i = 0; i < this.#listed.length; i++) {
          const type = this.#typeAt(i);
          if (type === null) continue;
          const known = byName.get(type.name);
          if (known === undefined) byName.set(type.name, type);
          else if (known !== null && known.addr !== type.addr) byName.set(type.name, null);
        }
      },
      () => undefined,
    );
    return byName;
  }

  get #listed(): List {
    return (this.#list ??= this.#module.layout.has('typelinks') ? this.#linked() : this.#walked());
  }

  #linked(): List {
    const { addr, layout, types } = this.#module;
    const at = layout.offset('typelinks');
    const list = this.#memory.ptr(addr, at);
    const length = Math.min(this.#memory.word(addr, at + 8), MAX_LISTED);
    return { length, at: (index) => plus(types.lo, this.#memory.i32(list, 4 * index)) };
  }

  #walked(): List {
    const { addr, layout, types } = this.#module;
    const end = Math.min(types.lo + this.#memory.word(addr, layout.offset('typedesclen')), types.hi);
    const found: Addr[] = [];
    for (let at = plus(types.lo, 8); at < end && found.length < MAX_LISTED;) {
      found.push(at);
      at = alignUp(plus(at, this.#reader.descriptorBytes(at)), 8);
    }
    return { length: found.length, at: (index) => found[index] ?? (0 as Addr) };
  }
}

/**
 * The path of a type's package, and the rest of its name: the types in brackets may have paths too. Without a path for a type
 * that has no name of its own, and for those of the language.
 */
function partsOf(name: string): { readonly path: string; readonly base: string } {
  const bracket = name.indexOf('[');
  const dot = name.lastIndexOf('.', bracket < 0 ? name.length : bracket);
  const path = name.slice(0, Math.max(dot, 0));
  return /^[^*[\s({]+$/.test(path) ? { path, base: name.slice(dot) } : { path: '', base: name };
}

/** What a package may be called, by its path. It may also be called something else. */
function packageNames(path: string): string[] {
  const [last = '', before] = path.split('/').reverse();
  const names = [last.replace(/\.v\d+$/, '')];
  return before !== undefined && /^v\d+$/.test(last) ? [...names, before] : names;
}

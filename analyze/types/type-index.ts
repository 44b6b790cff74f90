import { alignUp, plus } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import type { GoType, TypeReader } from './type-reader.js';

/** Descriptors that one module lists; no program has as many. */
const MAX_LISTED = 1 << 22;

/**
 * Finds types by their names. Of every type that has one, the linker lists the pointer to it: in moduledata.typelinks, an
 * offset for each; since 1.27 by the descriptors themselves, which begin right behind a word at moduledata.types and lie one
 * after another for moduledata.typedesclen bytes (runtime/symtab.go; dodata and typelink in cmd/link/internal/ld).
 */
export class TypeIndex {
  readonly #memory: Memory;
  readonly #modules: readonly ModuleData[];
  readonly #reader: TypeReader;
  #byName: Map<string, GoType | null> | null = null;

  constructor(memory: Memory, modules: readonly ModuleData[], reader: TypeReader) {
    this.#memory = memory;
    this.#modules = modules;
    this.#reader = reader;
  }

  /**
   * The type with a name, such as `net/http.conn`; null where the program has none, or where several types of one module have it, as
   * types of functions may. Of several modules, the first one that has it counts.
   */
  named(name: string): GoType | null {
    return (this.#byName ??= this.#readAll()).get(name) ?? null;
  }

  #readAll(): Map<string, GoType | null> {
    const byName = new Map<string, GoType | null>();
    for (const module of this.#modules) {
      const own = new Map<string, GoType | null>();
      onFault(
        () => {
          for (const type of module.layout.has('typelinks') ? this.#linked(module) : this.#walked(module)) {
            const named = type.kind === 'ptr' ? this.#reader.at(type.elem) : type;
            if (named === null) continue;
            const known = own.get(named.name);
            if (known === undefined) own.set(named.name, named);
            else if (known !== null && known.addr !== named.addr) own.set(named.name, null);
          }
        },
        () => undefined,
      );
      for (const [name, type] of own) if (!byName.has(name)) byName.set(name, type);
    }
    return byName;
  }

  *#linked({ addr, layout, types }: ModuleData): Iterable<GoType> {
    const at = layout.offset('typelinks');
    const list = this.#memory.ptr(addr, at);
    const count = Math.min(this.#memory.word(addr, at + 8), MAX_LISTED);
    for (let i = 0; i < count; i++) {
      const type = this.#reader.at(plus(types.lo, this.#memory.i32(list, 4 * i)));
      if (type !== null) yield type;
    }
  }

  *#walked({ addr, layout, types }: ModuleData): Iterable<GoType> {
    const end = types.lo + this.#memory.word(addr, layout.offset('typedesclen'));
    for (let at = plus(types.lo, 8); at < Math.min(end, types.hi);) {
      const type = this.#reader.at(at);
      if (type === null) return;
      yield type;
      at = alignUp(plus(at, this.#reader.descriptorBytes(type)), 8);
    }
  }
}

import { plus, type Addr } from '../../snapshots/address.js';
import { firstIndex } from '../../snapshots/binary-search.js';
import { Memory } from '../../snapshots/memory.js';
import type { ModuleData } from './module-data.js';
import type { PclntabFormat } from './pclntab.js';
import { findBytes } from './scan.js';

/** Bits of _func.flag, set since Go 1.17 (internal/abi/symtab.go; runtime/symtab.go before 1.21). */
export const FuncFlag = { topFrame: 1, spWrite: 2, asm: 4 } as const;

/** One function of the program: the runtime's _func (runtime2.go), and where its tables lie. */
export interface Func {
  /** In the function table. */
  readonly index: number;
  readonly entry: Addr;
  /** One past its last byte: the entry of the next function. */
  readonly end: Addr;
  /** As the linker names it, with full type arguments from Go 1.21 on. */
  readonly name: string;
  readonly funcID: number;
  /** {@link FuncFlag}s; 0 before Go 1.17. */
  readonly flag: number;
  readonly tables: FuncTables;
}

/** Offsets in the module's pctab, but for `cuOffset`, an index into its cutab. */
interface FuncTables {
  /** Where the _func itself lies. */
  readonly addr: Addr;
  readonly pcsp: number;
  readonly pcfile: number;
  readonly pcln: number;
  readonly npcdata: number;
  readonly nfuncdata: number;
  readonly cuOffset: number;
}

/** The tables that every function has, besides those by number (PCDATA). */
export type PcTable = 'pcsp' | 'pcfile' | 'pcln';

/** A value of a table, and the code addresses [from, to) that have it. */
interface PcEntry {
  readonly value: number;
  readonly from: number;
  readonly to: number;
}

/** Names the functions of a program whose own names were removed. */
export interface NameGiver {
  /** `func` has the name that the table has. */
  function(table: FunctionTable, func: Func): string;
  /** For a call that was inlined, by the name that the table has and the file of its code. */
  inlined(name: string, file: string): string;
}

const MAX_NAME = 64 * 1024;
/** More bytes than the names of any program have. */
const MAX_NAMES = 2 ** 28;
/** More steps than any table has: no function has as many instructions. */
const MAX_STEPS = 1 << 20;
/** More than arguments take; assembly code says 0x80000000 for an unknown number (ArgsSizeUnknown). */
const MAX_ARGUMENTS = 2 ** 31;
const NO_FUNCDATA = 0xffffffff;

/**
 * The functions of one module, read from its pclntab (runtime/symtab.go). Each part has its own Memory, so that look-ups
 * in one part do not evict the other's window. Its reads are not recorded: a snapshot holds the whole table.
 */
export class FunctionTable {
  readonly module: ModuleData;
  readonly quantum: number;
  readonly #format: PclntabFormat;
  readonly #wide: boolean;
  readonly #ftab: Memory;
  readonly #funcs: Memory;
  readonly #names: Memory;
  readonly #tables: Memory;
  readonly #sections: Memory;
  readonly #byIndex = new Map<number, Func>();
  /** null where functions have the names of the table. */
  readonly nameGiver: NameGiver | null;

  constructor(memory: Memory, module: ModuleData, nameGiver: NameGiver | null = null) {
    this.module = module;
    this.nameGiver = nameGiver;
    this.quantum = module.pclntab.quantum;
    this.#format = module.pclntab.format;
    this.#wide = this.#format.ftab === 'addresses';
    const { source } = memory.unrecorded;
    this.#ftab = new Memory(source);
    this.#funcs = new Memory(source);
    this.#names = new Memory(source);
    this.#tables = new Memory(source);
    this.#sections = new Memory(memory.source);
  }

  get length(): number {
    return this.module.pclntab.nfunc;
  }

  /** The function that contains `pc`, or null. Throws MemoryFault where the table itself is absent. */
  find(pc: number): Func | null {
    const { minpc, maxpc } = this.module;
    if (pc < minpc || pc >= maxpc) return null;
    const next = firstIndex(this.length, (i) => this.#entry(i) > pc);
    return next === 0 ? null : this.at(next - 1);
  }

  /** The function at an index below {@link length}. */
  at(index: number): Func {
    const known = this.#byIndex.get(index);
    if (known !== undefined) return known;
    const func = this.#read(index);
    this.#byIndex.set(index, func);
    return func;
  }

  /** The number and flags of every function, in the order of their addresses. */
  *kinds(): Iterable<Pick<Func, 'index' | 'funcID' | 'flag'>> {
    const { funcID, flag } = this.#format.func;
    for (let index = 0; index < this.length; index++) {
      const at = this.#funcAddr(index);
      yield { index, funcID: this.#funcs.u8(at, funcID), flag: this.#funcs.u8(at, flag) };
    }
  }

  /** The first function of each of the given names, by those that the table has. Walks the whole table: about 10 ms for 60,000 functions. */
  named(names: ReadonlySet<string>): Map<string, Func> {
    const found = new Map<string, Func>();
    for (let i = 0; i < this.length && found.size < names.size; i++) {
      const name = this.#name(this.#nameOffset(this.#funcAddr(i)), names);
      if (name !== null && !found.has(name)) found.set(name, this.at(i));
    }
    return found;
  }

  /**
   * True if one of `names` is among the names of the table, as a function's or an inlined call's, or may be in a part of
   * them that is absent. Reads no further than to the first that it finds.
   */
  mayName(names: Iterable<string>): boolean {
    const { data, length } = this.module.funcnametab;
    const sizeBytes = Math.min(length, MAX_NAMES);
    const range = { lo: data, hi: plus(data, sizeBytes) };
    for (const name of names) {
      const [found] = findBytes(this.#names, [range], Buffer.from(`\0${name}\0`), 1);
      if (found !== undefined) return true;
    }
    return !this.#names.has(data, sizeBytes);
  }

  /** A name by its offset: a function's, or that of an inlined call. */
  nameAt(offset: number): string {
    const { data, length } = this.module.funcnametab;
    return offset >= length ? '?' : this.#names.cstring(plus(data, offset), Math.min(MAX_NAME, length - offset));
  }

  /** The value of a function's table at `pc`; null where it has none. */
  value(func: Func, table: PcTable, pc: number): number | null {
    return this.#decode(func.tables[table], func, pc);
  }

  /** The code addresses around `pc` for which a function's table has the same entry; null where it has none. */
  range(func: Func, table: PcTable, pc: number): { readonly from: number; readonly to: number } | null {
    return this.#entryAt(func.tables[table], func, pc);
  }

  /** Bytes of a function's arguments and results on the stack (_func.args, which follows its name); null where it does not say. */
  argumentBytes(func: Func): number | null {
    const bytes = this.#funcs.u32(func.tables.addr, this.#format.func.name + 4);
    return bytes < MAX_ARGUMENTS ? bytes : null;
  }

  /** The source file of a function's first instruction; `?` where there is none. */
  fileAtEntry(func: Func): string {
    const file = this.value(func, 'pcfile', func.entry);
    return file === null ? '?' : this.file(func, file);
  }

  /** Value of PCDATA `index` at `pc`; -1, as in the runtime, where the function has none. */
  pcdata(func: Func, index: number, pc: number): number {
    const { addr, npcdata } = func.tables;
    if (index >= npcdata) return -1;
    return this.#decode(this.#funcs.u32(addr, this.#format.func.pcdata + 4 * index), func, pc) ?? -1;
  }

  /** Address of FUNCDATA `index`, or null. */
  funcdata(func: Func, index: number): Addr | null {
    const { addr, npcdata, nfuncdata } = func.tables;
    if (index >= nfuncdata) return null;
    const array = this.#format.func.pcdata + 4 * npcdata;
    const { gofunc } = this.module;
    if (gofunc === null) {
      const aligned = array + ((addr + array) % 8 === 0 ? 0 : 4);
      const at = this.#funcs.ptr(addr, aligned + 8 * index);
      return at === 0 ? null : at;
    }
    const offset = this.#funcs.u32(addr, array + 4 * index);
    return offset === NO_FUNCDATA ? null : plus(gofunc, offset);
  }

  /** The source file by a value of the `pcfile` table; `?` where there is none. */
  file(func: Func, index: number): string {
    const { cutab, filetab, pclntable } = this.module;
    if (this.#format.parts === null) {
      if (index <= 0 || index >= filetab.length) return '?';
      return this.#names.cstring(plus(pclntable.data, this.#tables.u32(filetab.data, 4 * index)));
    }
    const cu = func.tables.cuOffset + index;
    if (index < 0 || cu >= cutab.length) return '?';
    const offset = this.#tables.u32(cutab.data, 4 * cu);
    return offset >= filetab.length ? '?' : this.#names.cstring(plus(filetab.data, offset));
  }

  #read(index: number): Func {
    const { funcID, flag, pcsp, nfuncdata, cuOffset } = this.#format.func;
    const at = this.#funcAddr(index);
    const u32 = (offset: number): number => this.#funcs.u32(at, offset);
    const func: Func = {
      index,
      entry: this.#entry(index) as Addr,
      end: this.#entry(index + 1) as Addr,
      name: this.nameAt(this.#nameOffset(at)),
      funcID: this.#funcs.u8(at, funcID),
      flag: this.#funcs.u8(at, flag),
      tables: {
        addr: at,
        pcsp: u32(pcsp),
        pcfile: u32(pcsp + 4),
        pcln: u32(pcsp + 8),
        npcdata: u32(pcsp + 12),
        nfuncdata: this.#funcs.u8(at, nfuncdata),
        cuOffset: cuOffset === null ? 0 : u32(cuOffset),
      },
    };
    return this.nameGiver === null ? func : { ...func, name: this.nameGiver.function(this, func) };
  }

  #entry(index: number): number {
    const { ftab } = this.module;
    if (this.#wide) return this.#ftab.ptr(ftab.data, 16 * index);
    return this.#textAddr(this.#ftab.u32(ftab.data, 8 * index));
  }

  #funcAddr(index: number): Addr {
    const { ftab, pclntable } = this.module;
    const offset = this.#wide ? this.#ftab.word(ftab.data, 16 * index + 8) : this.#ftab.u32(ftab.data, 8 * index + 4);
    return plus(pclntable.data, Math.min(offset, pclntable.length));
  }

  /** moduledata.textAddr: code that the linker split over several sections does not lie at its offset (1.18+). */
  #textAddr(offset: number): number {
    const { text, textsectmap } = this.module;
    if (textsectmap.length <= 1) return text + offset;
    for (let i = 0; i < textsectmap.length; i++) {
      const vaddr = this.#sections.word(textsectmap.data, 24 * i);
      const end = this.#sections.word(textsectmap.data, 24 * i + 8);
      const last = i === textsectmap.length - 1;
      if (offset >= vaddr && (offset < end || (last && offset === end))) {
        return this.#sections.word(textsectmap.data, 24 * i + 16) + offset - vaddr;
      }
    }
    return text + offset;
  }

  #nameOffset(funcAddr: Addr): number {
    return this.#funcs.u32(funcAddr, this.#format.func.name);
  }

  /** The name at an offset if it is one of `names`, else null. Reads four bytes of most other names. */
  #name(offset: number, names: ReadonlySet<string>): string | null {
    const { data, length } = this.module.funcnametab;
    if (offset + 9 > length || this.#names.u32(plus(data, offset)) !== RUNT) return null;
    const name = this.nameAt(offset);
    return names.has(name) ? name : null;
  }

  #decode(offset: number, func: Func, pc: number): number | null {
    return this.#entryAt(offset, func, pc)?.value ?? null;
  }

  /** pcvalue (runtime/symtab.go): pairs of a zigzag value delta and a pc delta, until the pc is passed. */
  #entryAt(offset: number, func: Func, pc: number): PcEntry | null {
    const { data, length } = this.module.pctab;
    if (offset === 0 || offset >= length) return null;
    let at = offset;
    let value = -1;
    let end: number = func.entry;
    const varint = (): number => {
      let result = 0;
      let scale = 1;
      for (let i = 0; i < 5; i++) {
        const byte = this.#tables.u8(data, at++);
        result += (byte % 128) * scale;
        if (byte < 128) return result;
        scale *= 128;
      }
      return result;
    };
    for (let step = 0; step < MAX_STEPS && at < length; step++) {
      const delta = varint();
      if (delta === 0 && step > 0) return null;
      value += delta % 2 === 0 ? delta / 2 : -(delta + 1) / 2;
      const from = end;
      end += varint() * this.quantum;
      if (pc < end) return { value, from, to: end };
    }
    return null;
  }
}

/** The package of a function by its name: `database/sql` of `database/sql.(*DB).Begin`. */
export function packageOf({ name }: Pick<Func, 'name'>): string {
  const bracket = name.indexOf('[');
  const plain = bracket < 0 ? name : name.slice(0, bracket);
  const dot = plain.indexOf('.', plain.lastIndexOf('/') + 1);
  return dot < 0 ? plain : plain.slice(0, dot);
}

/** "runt" as a little-endian u32, the start of every name that is looked for. */
const RUNT = 0x746e7572;

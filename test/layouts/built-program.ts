import { dwarfStructs } from '../../analyze/binary/dwarf-structs.js';
import { FunctionTable } from '../../analyze/binary/function-table.js';
import { findPclntabs } from '../../analyze/binary/pclntab.js';
import { findModuleData } from '../../analyze/runtime/find-module-data.js';
import { Layout, type StructName } from '../../analyze/runtime/layouts.js';
import { PCLNTAB_FORMATS } from '../../analyze/runtime/releases.js';
import { ADDR_LIMIT, NIL, type Addr } from '../../snapshots/address.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../snapshots/elf/elf-source.js';
import type { Arch } from '../../snapshots/arch.js';
import type { StructLayout } from '../../snapshots/image.js';
import { LayeredSource, Memory, SegmentSource } from '../../snapshots/memory.js';

/** Fields that take no room: a marker says that the struct may not lie on the heap. */
const MARKERS: ReadonlySet<string> = new Set(['_', 'NotInHeap']);

/** A Go program as its file has it, not position-independent and with debug information, as if loaded and not yet run. */
export class BuiltProgram {
  readonly arch: Arch;
  readonly memory: Memory;
  readonly table: FunctionTable;
  readonly #file: ElfFile;
  readonly #structs: ReadonlyMap<string, StructLayout>;

  /** `structs` are the full names of those that will be asked for. Throws where the file has no function table. */
  constructor(path: string, structs: Iterable<string>) {
    this.#file = ElfFile.open(path);
    this.arch = this.#file.header.arch;
    this.#structs = dwarfStructs(this.#file, new Set(structs));
    const source = new ElfSource(this.#file, 0, { writable: true });
    const inFile = new Memory(source);
    this.table = this.#findTable(inFile, path);
    const zeros = this.table.module.data.map(({ lo, hi }) => ({ addr: lo, bytes: new Uint8Array(hi - lo) }));
    this.memory = new Memory(new LayeredSource([source, new SegmentSource(zeros)]));
  }

  #findTable(memory: Memory, path: string): FunctionTable {
    const ranges = [...memory.ranges(NIL, ADDR_LIMIT as Addr)];
    for (const header of findPclntabs(memory, ranges, PCLNTAB_FORMATS)) {
      const module = findModuleData(memory, ranges, header, this.layoutOf('moduledata'));
      if (module !== null) return new FunctionTable(memory, module);
    }
    const magic = this.#file.section('.gopclntab');
    const first = magic === undefined ? '' : Buffer.from(this.#file.contents(magic).subarray(0, 4)).toString('hex');
    throw new Error(`${path}: no function table of a known format with a moduledata; .gopclntab begins with ${first}`);
  }

  close(): void {
    this.#file.close();
  }

  /** A struct by its full name; null where the debug information lacks it. */
  struct(name: string): StructLayout | null {
    const found = this.#structs.get(name);
    if (found === undefined) return null;
    const fields = Object.entries(found.fields).filter(([field]) => !MARKERS.has(field));
    return { sizeBytes: found.sizeBytes, fields: Object.fromEntries(fields) };
  }

  /** A struct of package runtime; throws where the debug information lacks it. */
  layoutOf(name: StructName): Layout {
    const struct = this.struct(`runtime.${name}`);
    if (struct === null) throw new Error(`the debug information has no runtime.${name}`);
    return new Layout(name, struct.sizeBytes, struct.fields);
  }

  /** Addresses of symbols by name, without those that the file lacks. */
  symbols(names: ReadonlySet<string>): Map<string, number> {
    const found = new Map<string, number>();
    for (const { name, defined, value } of this.#file.symbols()) if (defined && names.has(name)) found.set(name, value);
    return found;
  }
}

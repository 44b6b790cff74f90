import type { Addr } from '../../snapshots/address.js';
import type { Range } from '../../snapshots/memory.js';
import type { PclntabHeader } from './pclntab.js';

/** A Go slice header. */
export interface Slice {
  readonly data: Addr;
  readonly length: number;
}

/** Where the fields of one struct lie, in bytes. */
export interface FieldOffsets {
  readonly sizeBytes: number;
  has(field: string): boolean;
  /** Throws where the struct has no field of that name. */
  offset(field: string): number;
}

/** runtime.moduledata (symtab.go): where the linker put the parts of one module. */
export interface ModuleData {
  readonly addr: Addr;
  readonly pclntab: PclntabHeader;
  /** Where its fields lie in this release. */
  readonly layout: FieldOffsets;
  readonly ftab: Slice;
  readonly pclntable: Slice;
  /** Where the format keeps all in one table, this and `pctab` are the pclntable, and `cutab` is empty. */
  readonly funcnametab: Slice;
  readonly cutab: Slice;
  readonly filetab: Slice;
  readonly pctab: Slice;
  readonly minpc: Addr;
  readonly maxpc: Addr;
  readonly text: Addr;
  readonly etext: Addr;
  /** Base of the funcdata offsets; null where funcdata holds addresses (before Go 1.18). */
  readonly gofunc: Addr | null;
  readonly textsectmap: Slice;
  /** The type descriptors that the compiler made, and their names: from `types` to `etypes`. */
  readonly types: Range;
  /** noptrdata, data, bss and noptrbss, in this order; empty ones are left out. */
  readonly data: readonly Range[];
  /** The next module's moduledata, or 0. */
  readonly next: Addr;
}

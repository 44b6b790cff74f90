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
  /** The next five are in the pclntable itself before Go 1.16. */
  readonly funcnametab: Slice;
  readonly cutab: Slice;
  readonly filetab: Slice;
  readonly pctab: Slice;
  readonly minpc: Addr;
  readonly maxpc: Addr;
  readonly text: Addr;
  readonly etext: Addr;
  /** Base of the funcdata offsets since Go 1.18; null before. */
  readonly gofunc: Addr | null;
  readonly textsectmap: Slice;
  /** noptrdata, data, bss, noptrbss: in this order, none empty. */
  readonly data: readonly Range[];
  readonly next: Addr;
}

import type { Addr } from '../../snapshots/address.js';
import type { Memory, Range } from '../../snapshots/memory.js';
import { blocks } from './scan.js';

/** Byte offsets in one function's record, runtime._func. */
export interface FuncLayout {
  readonly name: number;
  /** The offsets of the pcfile and pcln tables and npcdata follow, four bytes each. */
  readonly pcsp: number;
  /** null where the format has no such field. */
  readonly cuOffset: number | null;
  readonly funcID: number;
  /** A byte of padding, 0, before Go 1.17. */
  readonly flag: number;
  readonly nfuncdata: number;
  /** Where the array of pcdata offsets begins; that of funcdata follows. */
  readonly pcdata: number;
}

/** One of the formats in which Go's linker has written function tables. The header's first word says which. */
export interface PclntabFormat {
  readonly magic: number;
  /**
   * What ftab holds for a function: two words, its address and the offset of its _func, or two u32s, its offset from the
   * start of the text and the offset of its _func.
   */
  readonly ftab: 'addresses' | 'offsets';
  /**
   * Offset in the header of five words: the offsets of the names, compilation units, files, pc tables and functions
   * from the header. null where all of these lie in one table, pclntable.
   */
  readonly parts: number | null;
  readonly func: FuncLayout;
}

/** The header at the start of a pclntab; its other words are read through moduledata, which the loader relocates. */
export interface PclntabHeader {
  readonly addr: Addr;
  readonly format: PclntabFormat;
  /** Unit of code addresses in bytes: 1 on amd64, 4 on arm64. */
  readonly quantum: number;
  readonly nfunc: number;
}

/** The part of the header that is checked. */
const HEADER_BYTES = 16;
/** More than any Go program has; dockerd has about 60,000. */
const MAX_FUNCTIONS = 4_000_000;

/**
 * Finds what looks like the header of a function table of one of `formats`. Go aligns headers to 8 bytes. Callers must
 * check further: other memory may look the same.
 */
export function* findPclntabs(
  memory: Memory,
  ranges: Iterable<Range>,
  formats: readonly PclntabFormat[],
): Iterable<PclntabHeader> {
  const byMagic = new Map(formats.map((format) => [format.magic, format]));
  for (const { at, bytes } of blocks(memory, ranges, HEADER_BYTES)) {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + HEADER_BYTES <= bytes.length; i += 8) {
      if (words.getUint16(i + 2, true) !== 0xffff) continue;
      const header = headerAt(words, i, (at + i) as Addr, byMagic);
      if (header !== null) yield header;
    }
  }
}

function headerAt(
  words: DataView,
  i: number,
  addr: Addr,
  byMagic: ReadonlyMap<number, PclntabFormat>,
): PclntabHeader | null {
  const format = byMagic.get(words.getUint32(i, true));
  const padding = words.getUint16(i + 4, true);
  const quantum = words.getUint8(i + 6);
  const pointerSize = words.getUint8(i + 7);
  if (format === undefined || padding !== 0 || pointerSize !== 8 || (quantum !== 1 && quantum !== 4)) return null;
  const nfunc = words.getUint32(i + 8, true);
  if (words.getUint32(i + 12, true) !== 0 || nfunc === 0 || nfunc > MAX_FUNCTIONS) return null;
  return { addr, format, quantum, nfunc };
}

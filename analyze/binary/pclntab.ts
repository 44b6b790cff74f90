import type { Addr } from '../../snapshots/address.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
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
  /** True where the first word is that of no known format: obfuscators change it, and the rest tells the format. */
  readonly altered: boolean;
  /** Unit of code addresses in bytes: see {@link PC_QUANTUM}. */
  readonly quantum: number;
  readonly nfunc: number;
}

/** sys.PCQuantum, by which a function table tells whose code it describes (internal/goarch; runtime/internal/sys before Go 1.18). */
export const PC_QUANTUM = { amd64: 1, arm64: 4 } as const;

/** The part of the header that all formats have. */
const HEADER_BYTES = 16;
const POINTER_BYTES = 8;
/** More than any Go program has; dockerd has about 60,000. */
const MAX_FUNCTIONS = 4_000_000;
/** Longer than any function table: its offsets are u32s. */
const MAX_OFFSET = 2 ** 32;
/** The first part begins right after the header. */
const MAX_GAP = 64;

/**
 * Finds what looks like the header of a function table of one of `formats`. Go aligns headers to 8 bytes. Callers must
 * check further: other memory may look the same. Where the first word is unknown, a header is found once for each format
 * that the rest fits, as one of a format with that first word.
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
      if (words.getUint8(i + 7) !== POINTER_BYTES || words.getUint16(i + 4) !== 0) continue;
      const quantum = words.getUint8(i + 6);
      if (quantum !== PC_QUANTUM.amd64 && quantum !== PC_QUANTUM.arm64) continue;
      const nfunc = words.getUint32(i + 8, true);
      if (words.getUint32(i + 12, true) !== 0 || nfunc === 0 || nfunc > MAX_FUNCTIONS) continue;
      const magic = words.getUint32(i, true);
      const addr = (at + i) as Addr;
      const header = { addr, quantum, nfunc };
      const format = byMagic.get(magic);
      if (format !== undefined) yield { ...header, format, altered: false };
      else yield* alteredHeaders(memory.unrecorded, header, magic, formats);
    }
  }
}

function* alteredHeaders(
  memory: Memory,
  header: Pick<PclntabHeader, 'addr' | 'quantum' | 'nfunc'>,
  magic: number,
  formats: readonly PclntabFormat[],
): Iterable<PclntabHeader> {
  for (const format of formats) {
    const fits = onFault(
      () => (format.parts === null ? beginsWithFunctions(memory, header) : hasParts(memory, header.addr, format.parts)),
      () => false,
    );
    if (fits) yield { ...header, format: { ...format, magic }, altered: true };
  }
}

/** True where the offsets of the five parts ascend, from right after the header on. */
function hasParts(memory: Memory, addr: Addr, parts: number): boolean {
  let end = parts + 40;
  for (let i = 0; i < 5; i++) {
    const offset = memory.word(addr, parts + 8 * i);
    if (offset < end || offset >= MAX_OFFSET || (i === 0 && offset > end + MAX_GAP)) return false;
    end = offset + 1;
  }
  return true;
}

/** True where pairs of an address and the offset of a _func follow the header, the latter past the pairs. */
function beginsWithFunctions(memory: Memory, { addr, nfunc }: Pick<PclntabHeader, 'addr' | 'nfunc'>): boolean {
  let pc = 0;
  for (let i = 0; i < Math.min(nfunc, 8); i++) {
    const next = memory.ptr(addr, HEADER_BYTES + 16 * i);
    const offset = memory.word(addr, HEADER_BYTES + 16 * i + 8);
    if (next <= pc || offset < HEADER_BYTES + 16 * nfunc || offset >= MAX_OFFSET) return false;
    pc = next;
  }
  return true;
}

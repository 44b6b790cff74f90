import type { Addr } from '../../snapshots/address.js';
import type { Memory, Range } from '../../snapshots/memory.js';
import { blocks } from './scan.js';

/** The four layouts of the function table, named after the first release that wrote each (internal/abi, debug/gosym). */
export type PclntabEra = 'go1.2' | 'go1.16' | 'go1.18' | 'go1.20';

const ERAS: ReadonlyMap<number, PclntabEra> = new Map([
  [0xfffffffb, 'go1.2'],
  [0xfffffffa, 'go1.16'],
  [0xfffffff0, 'go1.18'],
  [0xfffffff1, 'go1.20'],
]);

/** The header at the start of a pclntab; its other words are read through moduledata, which the loader relocates. */
export interface PclntabHeader {
  readonly addr: Addr;
  readonly era: PclntabEra;
  /** Unit of code addresses in bytes: 1 on amd64, 4 on arm64. */
  readonly quantum: number;
  readonly nfunc: number;
}

/** As much of the header as is checked. */
const HEADER_BYTES = 16;
/** No Go program has more functions; dockerd has about 60,000. */
const MAX_FUNCTIONS = 4_000_000;

/** Headers of function tables in the given ranges. Go aligns them to 8 bytes; what only looks like one is dropped later. */
export function* findPclntabs(memory: Memory, ranges: Iterable<Range>): Iterable<PclntabHeader> {
  for (const { at, bytes } of blocks(memory, ranges, HEADER_BYTES)) {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = (8 - (at % 8)) % 8; i + HEADER_BYTES <= bytes.length; i += 8) {
      if (words.getUint16(i + 2, true) !== 0xffff) continue;
      const header = headerAt(words, i, (at + i) as Addr);
      if (header !== null) yield header;
    }
  }
}

function headerAt(words: DataView, i: number, addr: Addr): PclntabHeader | null {
  const era = ERAS.get(words.getUint32(i, true));
  const padding = words.getUint16(i + 4, true);
  const quantum = words.getUint8(i + 6);
  const pointerSize = words.getUint8(i + 7);
  if (era === undefined || padding !== 0 || pointerSize !== 8 || (quantum !== 1 && quantum !== 4)) return null;
  const nfunc = words.getUint32(i + 8, true);
  if (words.getUint32(i + 12, true) !== 0 || nfunc === 0 || nfunc > MAX_FUNCTIONS) return null;
  return { addr, era, quantum, nfunc };
}

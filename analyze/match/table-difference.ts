import { plus, type Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import type { PclntabHeader } from '../binary/pclntab.js';
import { blocks } from '../binary/scan.js';
import type { Placement } from './placement.js';

/** A function table in a file. */
export interface TableInFile {
  /** All segments of the file, at their link-time addresses. */
  readonly memory: Memory;
  readonly header: PclntabHeader;
}

/** A part of a function table that is the same in every build of the same source. */
interface Part {
  /** Names the content in messages. */
  readonly what: string;
  /** Address in the process. */
  readonly addr: Addr;
  readonly sizeBytes: number;
  /** Link-time address in the file. */
  readonly inFile: Addr;
  /** True if it contains addresses, which the loader of a position-independent program changes. */
  readonly hasAddresses: boolean;
}

/**
 * Compares the function table of a module with that of a file of the same Go release. Returns null if every function has
 * the same name, size, stack use and lines in both, else what differs, as a part of a sentence. File names are not
 * compared: they depend on where the source was when it was built.
 */
export function compareTables(
  memory: Memory,
  module: ModuleData,
  { memory: inFile, header }: TableInFile,
  placement: Placement,
): string | null {
  return onFault(
    () => {
      const different = partsOf(module, inFile, header).find((part) => !isSame(memory, inFile, part, placement));
      return different === undefined ? null : `${different.what} are not the same`;
    },
    () => 'its function table is cut short',
  );
}

function partsOf(module: ModuleData, inFile: Memory, header: PclntabHeader): Part[] {
  const { format, addr } = header;
  const { parts } = format;
  if (parts === null) {
    // Only file names come after the file table.
    const sizeBytes = module.filetab.data - module.pclntab.addr;
    return [{ what: 'its functions', addr: module.pclntab.addr, sizeBytes, inFile: addr, hasAddresses: true }];
  }
  const part = (what: string, slice: { data: Addr; length: number }, word: number, hasAddresses: boolean): Part => ({
    ...{ what, addr: slice.data, sizeBytes: slice.length, hasAddresses },
    inFile: plus(addr, inFile.word(addr, parts + 8 * word)),
  });
  return [
    part('the names of its functions', module.funcnametab, 0, false),
    part('the lines of its functions', module.pctab, 3, false),
    part('its functions', module.pclntable, 4, format.ftab === 'addresses'),
  ];
}

function isSame(memory: Memory, inFile: Memory, part: Part, placement: Placement): boolean {
  const range = { lo: part.addr, hi: plus(part.addr, part.sizeBytes) };
  for (const { at, bytes } of blocks(memory, [range], 16)) {
    const there = inFile.bytes(plus(part.inFile, at - part.addr), bytes.length);
    if (bytes.equals(there)) continue;
    if (!part.hasAddresses || !isSameExceptAddresses(bytes, there, (8 - (at % 8)) % 8, placement)) return false;
  }
  return true;
}

/** Compares whole words from offset `first` on. Words at the border of a block are whole in the overlapping next block. */
function isSameExceptAddresses(here: Uint8Array, there: Uint8Array, first: number, placement: Placement): boolean {
  const mine = new DataView(here.buffer, here.byteOffset, here.byteLength);
  const theirs = new DataView(there.buffer, there.byteOffset, there.byteLength);
  for (let i = first; i + 8 <= here.length; i += 8) {
    if (mine.getUint32(i) === theirs.getUint32(i) && mine.getUint32(i + 4) === theirs.getUint32(i + 4)) continue;
    if (!placement.isSameAddress(wordAt(mine, i), wordAt(theirs, i))) return false;
  }
  return true;
}

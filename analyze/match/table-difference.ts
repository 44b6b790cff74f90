import { plus, type Addr } from '../../snapshots/address.js';
import { MemoryFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import type { PclntabHeader } from '../binary/pclntab.js';
import type { Placement } from './placement.js';
import { blocks } from '../binary/scan.js';

/** A function table in a file, which nothing has loaded. */
export interface TableInFile {
  /** The file, all of its segments, at the addresses of link time. */
  readonly memory: Memory;
  readonly header: PclntabHeader;
}

/** A part of a function table that is the same in every build of the same source. */
interface Part {
  /** What is in it, for messages. */
  readonly what: string;
  /** In the process. */
  readonly addr: Addr;
  readonly sizeBytes: number;
  readonly inFile: Addr;
  /** True where it holds addresses, which the loader of a position-independent program changes. */
  readonly addresses: boolean;
}

/**
 * What differs between the function table of a module and that of a file, as a part of a sentence; null where each
 * function has the same name, size, stack use and lines in both. Names of files are not compared: they depend on where
 * the source lay when it was built. The headers are taken to be of the same release.
 */
export function tableDifference(
  memory: Memory,
  module: ModuleData,
  { memory: inFile, header }: TableInFile,
  placement: Placement,
): string | null {
  try {
    for (const part of partsOf(module, inFile, header)) {
      if (!isSame(memory, inFile, part, placement)) return `${part.what} are not the same`;
    }
    return null;
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return 'its function table is cut short';
  }
}

function partsOf(module: ModuleData, inFile: Memory, header: PclntabHeader): Part[] {
  const { format, addr } = header;
  const { parts } = format;
  if (parts === null) {
    // The names of files, and nothing else, come behind the table of files.
    const sizeBytes = module.filetab.data - module.pclntab.addr;
    return [{ what: 'its functions', addr: module.pclntab.addr, sizeBytes, inFile: addr, addresses: true }];
  }
  const part = (what: string, slice: { data: Addr; length: number }, word: number, addresses: boolean): Part => ({
    ...{ what, addr: slice.data, sizeBytes: slice.length, addresses },
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
    if (!part.addresses || !isSameButForAddresses(bytes, there, (8 - (at % 8)) % 8, placement)) return false;
  }
  return true;
}

/** Compares words from offset `first` on; what is no whole word lies across the border of a block, and has its own. */
function isSameButForAddresses(here: Uint8Array, there: Uint8Array, first: number, placement: Placement): boolean {
  const mine = new DataView(here.buffer, here.byteOffset, here.byteLength);
  const theirs = new DataView(there.buffer, there.byteOffset, there.byteLength);
  for (let i = first; i + 8 <= here.length; i += 8) {
    const low = mine.getUint32(i, true);
    const high = mine.getUint32(i + 4, true);
    const lowThere = theirs.getUint32(i, true);
    const highThere = theirs.getUint32(i + 4, true);
    if (low === lowThere && high === highThere) continue;
    if (!placement.isSameAddress(high * TWO_32 + low, highThere * TWO_32 + lowThere)) return false;
  }
  return true;
}

const TWO_32 = 2 ** 32;

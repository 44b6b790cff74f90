import { hex, type Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SegmentType, type ElfSegment } from '../../snapshots/elf/headers.js';
import type { ProcessImage } from '../../snapshots/image.js';
import type { Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import { compareBuildIds, describeUnusable } from './quick-checks.js';
import { breakpointEnd } from './relocated-operands.js';

/** Whether an ELF file is the one that a process had mapped. Needs no Go data structures. */
export type MappedFileMatch =
  | {
      readonly same: true;
      /** Address in the process minus link-time address in the file, in bytes. */
      readonly bias: number;
      /** What proves it: the build ids, the pages that both have, or null if the image has nothing to compare. */
      readonly proof: 'build id' | 'pages' | null;
      /** Read-only segments that are not what the process has, though the build ids agree: one of the two was patched. */
      readonly altered: readonly Alteration[];
    }
  | {
      readonly same: false;
      /** The difference, as a sentence about the file without a full stop. */
      readonly reason: string;
    };

/** A segment of a file that differs from the process's memory. */
export interface Alteration {
  readonly segment: ElfSegment;
  /** The first address in the process that has another byte. */
  readonly addr: Addr;
}

/** Facts from an image about a file that the process had mapped. */
export interface MappedFileFacts {
  /** AT_ENTRY, the address where the process started, if the file is its executable. Else null. */
  readonly entry: number | null;
  /** Address of the file's first page, or null if unknown. */
  readonly base: number | null;
  readonly buildId: string | null;
  readonly goBuildId: string | null;
}

/** Upper bound for the bytes of pages that are compared. */
const MOST_COMPARED = 2 ** 26;
/** Number of bytes compared at a time. */
const PIECE = 2 ** 18;
const PAGE = 4096;

/**
 * Checks whether a process had mapped `file`: by build ids if both sides have one, else by all read-only pages that both
 * have, which must be equal byte for byte, except for breakpoints in the process. Throws BytesError if the file cannot be
 * read where its headers say.
 */
export function matchMappedFile(image: ProcessImage, mapped: MappedFileFacts, file: ElfFile): MappedFileMatch {
  const differs = (reason: string): MappedFileMatch => ({ same: false, reason });
  const unusable = describeUnusable(image.arch, file);
  if (unusable !== null) return differs(unusable);
  const buildIds = compareBuildIds(mapped, file);
  if (buildIds === 'different') return differs('its build ids differ');
  if (file.missingBytes > 0) return differs(`it was cut short: ${file.missingBytes} bytes are missing at its end`);
  const bias = biasOf(mapped, file);
  if (bias === null) return differs('its code is linked for other addresses');
  const { compared, differences } = comparePages(image, file, bias, buildIds === 'same');
  if (buildIds === 'same') return { same: true, bias, proof: 'build id', altered: differences };
  const [first] = differences;
  if (first !== undefined) return differs(`its content for ${hex(first.addr)} differs from the target's memory`);
  return { same: true, bias, proof: compared >= PAGE ? 'pages' : null, altered: [] };
}

/** Returns the bias of the file in the process, or null if the file cannot be loaded at such an address. */
function biasOf({ entry, base }: MappedFileFacts, file: ElfFile): number | null {
  const fixed = file.header.type === 'executable';
  if (entry !== null) {
    const bias = entry - file.header.entry;
    return fixed ? (bias === 0 ? 0 : null) : bias % PAGE === 0 ? bias : null;
  }
  if (fixed) return 0;
  const first = file.segments.find(({ type, fileOffset }) => type === SegmentType.load && fileOffset < PAGE);
  return base === null || first === undefined ? null : base - (first.vaddr - first.fileOffset);
}

/**
 * Compares the read-only pages of a file with those of the process, up to the first difference of each segment. With
 * `zerosAreUnknown`, zeros of the process match everything: writers of cores put them where they had no memory.
 */
function comparePages(
  { memory, arch }: ProcessImage,
  file: ElfFile,
  bias: number,
  zerosAreUnknown: boolean,
): { compared: number; differences: Alteration[] } {
  let compared = 0;
  const differences = new Map<ElfSegment, Addr>();
  for (const { lo, hi, fileOffset, segment } of file.loaded) {
    if (segment.writable) continue;
    for (const known of memory.ranges((lo + bias) as Addr, (hi + bias) as Addr)) {
      for (let at: number = known.lo; at < known.hi && compared < MOST_COMPARED; at += PIECE) {
        if (differences.has(segment)) break;
        const length = Math.min(PIECE, known.hi - at);
        const here = memory.bytes(at as Addr, length);
        const there = file.bytesInFile(fileOffset + (at - bias - lo), length);
        const difference = firstDifference(arch, here, there, zerosAreUnknown);
        if (difference !== null) differences.set(segment, (at + difference) as Addr);
        compared += length;
      }
    }
  }
  return { compared, differences: [...differences].map(([segment, addr]) => ({ segment, addr })) };
}

/** Returns the index of the first byte that differs and is no breakpoint of the process; null if there is none. */
function firstDifference(arch: Arch, here: Uint8Array, there: Uint8Array, zerosAreUnknown: boolean): number | null {
  if (Buffer.compare(here, there) === 0) return null;
  const process = new DataView(here.buffer, here.byteOffset, here.byteLength);
  for (let i = 0; i < here.length; i++) {
    if (here[i] === there[i] || (zerosAreUnknown && here[i] === 0)) continue;
    const end = breakpointEnd(arch, process, i);
    if (end === i) return i;
    i = end - 1;
  }
  return null;
}

/**
 * Returns whether a file has the same moduledata as the process. Words that the linker filled in must be equal or differ
 * by the bias. Words that are zero in the file are ignored: the runtime or the loader fills them in.
 */
export function hasModuleData(memory: Memory, module: ModuleData, file: ElfFile, bias: number): boolean {
  const { addr, layout } = module;
  const there = file.bytesAt(addr - bias, layout.offset('next'));
  if (there === null) return false;
  const view = new DataView(there.buffer, there.byteOffset, there.byteLength);
  for (let i = 0; i + 8 <= there.length; i += 8) {
    const word = view.getBigUint64(i, true);
    const here = memory.u64(addr, i);
    if (word !== 0n && here !== word && here !== word + BigInt(bias)) return false;
  }
  return true;
}

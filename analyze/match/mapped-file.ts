import { hex, type Addr } from '../../snapshots/address.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SegmentType } from '../../snapshots/elf/headers.js';
import type { ProcessImage } from '../../snapshots/image.js';
import type { Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import { compareBuildIds, describeUnusable } from './quick-checks.js';

/** Whether an ELF file is the one that a process had mapped. Needs no Go data structures. */
export type MappedFileMatch =
  | {
      readonly same: true;
      /** Address in the process minus link-time address in the file, in bytes. */
      readonly bias: number;
      /** What proves it: the build ids, the pages that both have, or null if the image has nothing to compare. */
      readonly proof: 'build id' | 'pages' | null;
    }
  | {
      readonly same: false;
      /** The difference, as a sentence about the file without a full stop. */
      readonly reason: string;
      /** True if the build ids show that it is another build. */
      readonly otherBuild: boolean;
    };

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
 * have, which must be equal byte for byte. Throws BytesError if the file cannot be read where its headers say.
 */
export function matchMappedFile(image: ProcessImage, mapped: MappedFileFacts, file: ElfFile): MappedFileMatch {
  const differs = (reason: string, otherBuild = false): MappedFileMatch => ({ same: false, reason, otherBuild });
  const unusable = describeUnusable(image.arch, file);
  if (unusable !== null) return differs(unusable);
  const buildIds = compareBuildIds(mapped, file);
  if (buildIds === 'different') return differs('its build ids differ', true);
  const bias = biasOf(mapped, file);
  if (bias === null) return differs('its code is linked for other addresses');
  if (buildIds === 'same') return { same: true, bias, proof: 'build id' };
  const { compared, difference } = comparePages(image.memory, file, bias);
  if (difference !== null) return differs(`its content for ${hex(difference)} differs from the target's memory`);
  return { same: true, bias, proof: compared >= PAGE ? 'pages' : null };
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

/** Compares the read-only pages of a file with those of the process. `difference` is the first address that differs. */
function comparePages(memory: Memory, file: ElfFile, bias: number): { compared: number; difference: Addr | null } {
  let compared = 0;
  for (const { lo, hi, fileOffset, segment } of file.loaded) {
    if (segment.writable) continue;
    for (const known of memory.ranges((lo + bias) as Addr, (hi + bias) as Addr)) {
      for (let at: number = known.lo; at < known.hi && compared < MOST_COMPARED; at += PIECE) {
        const length = Math.min(PIECE, known.hi - at);
        const here = memory.bytes(at as Addr, length);
        const there = file.bytesInFile(fileOffset + (at - bias - lo), length);
        if (Buffer.compare(here, there) !== 0) {
          return { compared, difference: (at + here.findIndex((b, i) => b !== there[i])) as Addr };
        }
        compared += length;
      }
    }
  }
  return { compared, difference: null };
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

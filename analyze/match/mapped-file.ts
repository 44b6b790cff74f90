import { hex, type Addr } from '../../snapshots/address.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SectionType, SegmentType } from '../../snapshots/elf/headers.js';
import type { ProcessImage } from '../../snapshots/image.js';
import type { Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';

/** Whether an ELF file is the one that a process had loaded, told before anything of Go is looked at. */
export type LoadedMatch =
  | {
      readonly same: true;
      /** Address in the process minus address in the file, in bytes. */
      readonly bias: number;
      /** By what it is known: build ids, pages that both have, or (null) nothing that the image holds. */
      readonly proof: 'build id' | 'pages' | null;
    }
  | {
      readonly same: false;
      /** What tells them apart, as a sentence about the file without its full stop. */
      readonly reason: string;
      /** True where build ids say that it is another build. */
      readonly otherBuild: boolean;
    };

/** What an image knows of a file that it had loaded. */
export interface LoadedFile {
  /** Where the process was entered, for its executable: AT_ENTRY. */
  readonly entry: number | null;
  /** Where the file's first page lies, where that is known. */
  readonly base: number | null;
  readonly buildId: string | null;
  readonly goBuildId: string | null;
}

/** Bytes of pages that are compared, at most. */
const MOST_COMPARED = 2 ** 26;
const PIECE = 2 ** 18;
const PAGE = 4096;

/**
 * Tells whether a process had loaded `file`: by build ids where both have one, else by all read-only pages that both
 * have, which must be the same byte for byte.
 */
export function matchLoaded(image: ProcessImage, loaded: LoadedFile, file: ElfFile): LoadedMatch {
  const differs = (reason: string, otherBuild = false): LoadedMatch => ({ same: false, reason, otherBuild });
  if (file.header.arch !== image.arch) {
    return differs(`it is for ${file.header.arch}, and the target runs on ${image.arch}`);
  }
  if (file.section('.text')?.type === SectionType.noBits) {
    return differs('it has debug information alone, and none of the code');
  }
  const pairs = [
    [loaded.buildId, file.buildId],
    [loaded.goBuildId, file.goBuildId],
  ].filter(([ours, theirs]) => ours !== null && theirs !== null);
  if (pairs.some(([ours, theirs]) => ours !== theirs)) return differs('its build ids are others', true);
  const bias = biasOf(loaded, file);
  if (bias === null) return differs('its code is linked for another place');
  if (pairs.length > 0) return { same: true, bias, proof: 'build id' };
  const { compared, difference } = comparePages(image.memory, file, bias);
  if (difference !== null) return differs(`what it has for ${hex(difference)} is not what the target has there`);
  return { same: true, bias, proof: compared >= PAGE ? 'pages' : null };
}

/** null where the file cannot lie where the process has it. */
function biasOf({ entry, base }: LoadedFile, file: ElfFile): number | null {
  const fixed = file.header.type === 'executable';
  if (entry !== null) {
    const bias = entry - file.header.entry;
    return fixed ? (bias === 0 ? 0 : null) : bias % PAGE === 0 ? bias : null;
  }
  if (fixed) return 0;
  const first = file.segments.find(({ type, fileOffset }) => type === SegmentType.load && fileOffset < PAGE);
  return base === null || first === undefined ? null : base - (first.vaddr - first.fileOffset);
}

/** Holds the read-only pages of a file against those of the process; `difference` is the address of the first. */
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
 * True where a file has the moduledata that the process has: words that the linker filled in are the same, or differ by
 * how far the file was moved. What the runtime, or the loader, fills in is zero in the file.
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

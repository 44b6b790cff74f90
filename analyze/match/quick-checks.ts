import type { Arch } from '../../snapshots/arch.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SectionType } from '../../snapshots/elf/headers.js';
import type { Executable } from '../../snapshots/image.js';

/** Returns why a file cannot hold the code of a process on `arch`, as a sentence about the file, or null if it can. */
export function describeUnusable(arch: Arch, file: ElfFile): string | null {
  if (file.header.arch !== arch) return `it is for ${file.header.arch}, and the target runs on ${arch}`;
  if (file.section('.text')?.type === SectionType.noBits) return 'it has only debug information, and no code';
  return null;
}

type BuildIds = Pick<Executable, 'buildId' | 'goBuildId'>;

/** Compares the build ids that both sides have. Returns `unknown` if there is none that both have. */
export function compareBuildIds(a: BuildIds, b: BuildIds): 'same' | 'different' | 'unknown' {
  const pairs = [
    [a.buildId, b.buildId],
    [a.goBuildId, b.goBuildId],
  ].filter((pair) => !pair.includes(null));
  if (pairs.length === 0) return 'unknown';
  return pairs.every(([one, other]) => one === other) ? 'same' : 'different';
}

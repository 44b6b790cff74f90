import { loadedBuildIds, NO_IDS, type BuildIds } from '../../snapshots/elf/loaded-build-ids.js';
import type { Mapping, ProcessImage } from '../../snapshots/image.js';

/** A file that a process has loaded, once: the mappings of its segments, and anonymous memory right behind them. */
export interface Load {
  /** The file as the process saw it; empty for anonymous memory. */
  readonly path: string;
  /** Ascending, never none. */
  readonly mappings: readonly Mapping[];
}

/** Every load of a file, those of the process's executable first, then by address. */
export function loadsOf(image: ProcessImage): Load[] {
  const open = new Map<string, Mapping[]>();
  const loads: Load[] = [];
  let previous: Mapping | null = null;
  for (const mapping of image.mappings) {
    // The end of a file's data that is not in the file. Behind that of a library, anything may follow.
    const mayBelong = mapping.writable || previous?.path === image.executable.path;
    const adjoins = previous !== null && previous.end === mapping.start && mapping.path === '' && mayBelong;
    const path: string = mapping.path === '' && adjoins ? (previous?.path ?? '') : mapping.path;
    if (path === '' || path.startsWith('[')) {
      previous = null;
      continue;
    }
    let mappings = open.get(path);
    if (mappings === undefined || (mapping.path !== '' && isStartAfter(mappings, mapping))) {
      mappings = [];
      open.set(path, mappings);
      loads.push({ path, mappings });
    }
    mappings.push(mapping);
    previous = { ...mapping, path };
  }
  const isMain = ({ path }: Load): boolean => path === image.executable.path;
  return [...loads.filter(isMain), ...loads.filter((load) => !isMain(load))];
}

/** A loader maps a file from its start on: there, another load begins. Some cores have no offsets: then all are 0. */
function isStartAfter(mappings: readonly Mapping[], { fileOffset }: Mapping): boolean {
  return fileOffset === 0 && mappings.some((before) => before.fileOffset > 0);
}

/**
 * Groups of anonymous memory that may hold a program: those with code, where an executable packer puts it, then the others.
 */
export function anonymousLoads(image: ProcessImage): { readonly withCode: Load[]; readonly others: Load[] } {
  const groups = neighbours(image.mappings.filter(({ path }) => path === ''));
  const loads = groups.map((mappings) => ({ path: '', mappings }));
  return { withCode: loads.filter(hasCode), others: loads.filter((load) => !hasCode(load)) };
}

/** Whether a load may be that of a program: files that are mapped as data neither run nor are ELF files, as a rule. */
export function mayRun({ memory }: ProcessImage, load: Load): boolean {
  const start = load.mappings[0]?.start;
  return hasCode(load) || (start !== undefined && memory.has(start, 4) && memory.u32(start) === ELF_MAGIC);
}

/** `\x7fELF`, read as a number. */
const ELF_MAGIC = 0x464c457f;

function hasCode({ mappings }: Load): boolean {
  return mappings.some(({ executable }) => executable);
}

/** The build ids of the file of a load, from its headers in memory; null where they are absent. */
export function buildIdsOf({ memory }: ProcessImage, { mappings: [first] }: Load): BuildIds {
  return first?.fileOffset === 0 ? loadedBuildIds(memory, first.start) : NO_IDS;
}

/** Largest gap between two segments of one program, in bytes: linkers align them to 2 MB at most. */
const MAX_SEGMENT_GAP = 2 ** 21;

function neighbours(mappings: readonly Mapping[]): Mapping[][] {
  const groups: Mapping[][] = [];
  for (const mapping of mappings) {
    const group = groups.at(-1);
    const end = group?.at(-1)?.end ?? -Infinity;
    if (group !== undefined && mapping.start - end <= MAX_SEGMENT_GAP) group.push(mapping);
    else groups.push([mapping]);
  }
  return groups;
}

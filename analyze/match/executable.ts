import { ADDR_LIMIT, type Addr } from '../../snapshots/address.js';
import { BytesError } from '../../snapshots/bytes.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SectionType, SegmentType } from '../../snapshots/elf/headers.js';
import { ElfSource } from '../../snapshots/elf/elf-source.js';
import type { Executable, Mapping } from '../../snapshots/image.js';
import { Memory } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { ModuleData } from '../binary/module-data.js';
import { compareCode } from './code-difference.js';
import { FunctionTable } from '../binary/function-table.js';
import { findPclntabs } from '../binary/pclntab.js';
import { Placement } from './placement.js';
import { PCLNTAB_FORMATS } from '../runtime/releases.js';
import { tableDifference, type TableInFile } from './table-difference.js';

/** Whether an ELF file has the code of a process. */
export type BinaryMatch =
  | {
      readonly same: true;
      /** Address in the process minus address in the file, of code, in bytes. */
      readonly bias: number;
      /**
       * True where build ids say that it is the very same program, be it stripped or not. Otherwise it is another build
       * of the same source: functions and code are the same, while constant data may lie elsewhere and say other
       * things, such as with which flags it was built.
       */
      readonly identical: boolean;
    }
  | {
      readonly same: false;
      /** What tells them apart, as a sentence about the file without its full stop. */
      readonly reason: string;
    };

/** What is matched: a GoProgram has it. */
type Target = Pick<GoProgram, 'image' | 'code'>;

/**
 * Tells whether an ELF file is the executable of a program, or another build of the same source, such as one with
 * symbols. Build ids that agree are believed if the code does too. Where they are missing or differ, the whole function
 * tables are compared, and all code that the image holds. Throws GospyError where the system cannot read the file.
 */
export function matchBinary(target: Target, file: ElfFile): BinaryMatch {
  try {
    return matched(target, file);
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
    return { same: false, reason: `it cannot be read: ${error.message}` };
  }
}

function matched(target: Target, file: ElfFile): BinaryMatch {
  const { image, code } = target;
  const [runtime] = code.modules;
  if (runtime === undefined) return { same: false, reason: 'the target has no Go code' };
  if (file.header.arch !== image.arch) {
    return { same: false, reason: `it is for ${file.header.arch}, and the target runs on ${image.arch}` };
  }
  if (file.section('.text')?.type === SectionType.noBits) {
    return { same: false, reason: 'it has debug information alone, and none of the code' };
  }
  const { module } = runtime;
  const identical = haveSameBuildIds(image.executable, file);
  const tables = identical ? [] : tablesLike(module, file);
  if (typeof tables === 'string') return { same: false, reason: tables };
  let reason: string | null = null;
  for (const bias of biases(image.mappings, module.text, file)) {
    const placement = new Placement(file, bias, { lo: module.text, hi: module.etext });
    const difference = differenceAt(placement, target, module, file, identical ? null : tables);
    if (difference === null) return { same: true, bias, identical };
    reason ??= difference;
  }
  return { same: false, reason: reason ?? 'its code is linked for another place' };
}

/** The first difference with the file at a place, as a sentence; null where there is none. */
function differenceAt(
  placement: Placement,
  { image }: Target,
  module: ModuleData,
  file: ElfFile,
  tables: readonly TableInFile[] | null,
): string | null {
  const memory = image.memory.unrecorded;
  const differences = tables?.map((table) => tableDifference(memory, module, table, placement)) ?? [null];
  if (!differences.includes(null)) return differences[0] ?? null;
  const functions = new FunctionTable(memory, module);
  const { comparedBytes, difference } = compareCode(memory, image.arch, functions, file, placement);
  if (difference !== null || tables === null || comparedBytes > 0) return difference;
  return 'the target holds no code to compare with it';
}

/** True where they have a build id in common and none that differs. */
function haveSameBuildIds(executable: Executable, file: ElfFile): boolean {
  const pairs = [
    [executable.buildId, file.buildId],
    [executable.goBuildId, file.goBuildId],
  ].filter(([ours, theirs]) => ours !== null && theirs !== null);
  return pairs.length > 0 && pairs.every(([ours, theirs]) => ours === theirs);
}

/** The function tables of a file that are as large as a module's; a sentence where it has none. */
function tablesLike({ pclntab }: ModuleData, file: ElfFile): TableInFile[] | string {
  const source = new ElfSource(file, 0, { writable: true });
  const memory = new Memory(source);
  const headers = [...findPclntabs(memory, source.ranges(0, ADDR_LIMIT), PCLNTAB_FORMATS)];
  const [first] = headers;
  if (first === undefined) return 'it has no Go function table';
  const like = headers.filter(({ format, nfunc }) => format === pclntab.format && nfunc === pclntab.nfunc);
  if (like.length > 0) return like.map((header) => ({ memory, header }));
  if (!headers.some(({ format }) => format === pclntab.format)) return 'it was built by another release of Go';
  return `it has ${first.nfunc} functions, and the target ${pclntab.nfunc}`;
}

/** Where the process may have the file's code: differences of addresses, the likeliest first. */
function biases(mappings: readonly Mapping[], text: Addr, file: ElfFile): Iterable<number> {
  if (file.header.type === 'executable') return [0];
  const page = pageSize(mappings);
  const home = mappings.find(({ start, end }) => text >= start && text < end);
  const loads = file.segments.filter(({ type }) => type === SegmentType.load);
  if (home === undefined || loads.length === 0) return [];
  const lowest = mappings.find(({ path }) => path === home.path && path !== '');
  const code = loads.filter(({ executable }) => executable);
  const found = code.map(({ vaddr }) => home.start - (vaddr - (vaddr % page)));
  if (lowest !== undefined) {
    const vaddr = loads.reduce((least, segment) => Math.min(least, segment.vaddr), Infinity);
    found.push(lowest.start - (vaddr - (vaddr % page)));
  }
  return new Set(found);
}

/** The unit of mappings: the largest page size that fits them all. */
function pageSize(mappings: readonly Mapping[]): number {
  const fits = (size: number): boolean => mappings.every(({ start, end }) => start % size === 0 && end % size === 0);
  return [65_536, 16_384].find(fits) ?? 4096;
}

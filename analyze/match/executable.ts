import { ADDR_LIMIT, type Addr } from '../../snapshots/address.js';
import { BytesError } from '../../snapshots/bytes.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../snapshots/elf/elf-source.js';
import { SegmentType } from '../../snapshots/elf/headers.js';
import type { Mapping } from '../../snapshots/image.js';
import { Memory } from '../../snapshots/memory.js';
import { FunctionTable } from '../binary/function-table.js';
import type { ModuleData } from '../binary/module-data.js';
import { findPclntabs } from '../binary/pclntab.js';
import type { GoProgram } from '../program.js';
import { compareCode } from './code-difference.js';
import { Placement } from './placement.js';
import { compareBuildIds, describeUnusable } from './quick-checks.js';
import { compareTables, type TableInFile } from './table-difference.js';
import { PCLNTAB_FORMATS } from '../runtime/releases.js';

/** Whether an ELF file has the same code as a process. */
export type BinaryMatch =
  | {
      readonly same: true;
      /** Address in the process minus link-time address in the file, of code, in bytes. */
      readonly bias: number;
      /**
       * True if the build ids show that it is exactly the same program, stripped or not. Otherwise it is another build of
       * the same source: functions and code are the same, but constant data may be at other addresses and have other
       * values, such as the build flags.
       */
      readonly identical: boolean;
    }
  | {
      readonly same: false;
      /** The difference, as a sentence about the file without a full stop. */
      readonly reason: string;
    };

/** The parts of a GoProgram that are compared with a file. */
type Target = Pick<GoProgram, 'image' | 'code' | 'runtime'>;

/**
 * Checks whether an ELF file is the executable of a program, or another build of the same source, such as one with
 * symbols. If the build ids agree, the code must agree too. If they are missing or differ, the whole function tables and
 * all code in the image are compared. Throws GospyError if the system cannot read the file.
 */
export function matchBinary(target: Target, file: ElfFile): BinaryMatch {
  try {
    return compareWith(target, file);
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
    return { same: false, reason: `it cannot be read: ${error.message}` };
  }
}

function compareWith(target: Target, file: ElfFile): BinaryMatch {
  const { image, code } = target;
  const [table] = code.modules;
  if (table === undefined) return { same: false, reason: 'the target has no Go code' };
  const unusable = describeUnusable(image.arch, file);
  if (unusable !== null) return { same: false, reason: unusable };
  const { module } = table;
  const identical = compareBuildIds(target.runtime, file) === 'same';
  const tables = identical ? [] : findTablesLike(module, file);
  if (typeof tables === 'string') return { same: false, reason: tables };
  let reason: string | null = null;
  for (const bias of possibleBiases(image.mappings, module.text, file)) {
    const placement = new Placement(file, bias, { lo: module.text, hi: module.etext });
    const difference = findDifference(placement, target, module, file, identical ? null : tables);
    if (difference === null) return { same: true, bias, identical };
    reason ??= difference;
  }
  return { same: false, reason: reason ?? 'its code is linked for other addresses' };
}

/** Returns the first difference if the file has this placement, as a sentence about the file; null if there is none. */
function findDifference(
  placement: Placement,
  { image }: Target,
  module: ModuleData,
  file: ElfFile,
  tables: readonly TableInFile[] | null,
): string | null {
  const memory = image.memory.unrecorded;
  const differences = tables?.map((table) => compareTables(memory, module, table, placement)) ?? [null];
  if (!differences.includes(null)) return differences[0] ?? null;
  const functions = new FunctionTable(memory, module);
  const { comparedBytes, difference } = compareCode(memory, image.arch, functions, file, placement);
  if (difference !== null || tables === null || comparedBytes > 0) return difference;
  return 'the target holds no code to compare with it';
}

/** Returns the function tables in a file that have as many functions as a module, or a sentence if there is none. */
function findTablesLike({ pclntab }: ModuleData, file: ElfFile): TableInFile[] | string {
  const source = new ElfSource(file, 0, { writable: true });
  const memory = new Memory(source);
  const formats = [...PCLNTAB_FORMATS, pclntab.format];
  const headers = [...findPclntabs(memory, source.ranges(0, ADDR_LIMIT), formats)].filter(({ altered }) => !altered);
  const [first] = headers;
  if (first === undefined) return 'it has no Go function table';
  const like = headers.filter(({ format, nfunc }) => format === pclntab.format && nfunc === pclntab.nfunc);
  if (like.length > 0) return like.map((header) => ({ memory, header }));
  if (!headers.some(({ format }) => format === pclntab.format)) return 'it was built by another release of Go';
  return `it has ${first.nfunc} functions, and the target ${pclntab.nfunc}`;
}

/** Returns the biases that the file's code may have in the process, the most likely one first. */
function possibleBiases(mappings: readonly Mapping[], text: Addr, file: ElfFile): Iterable<number> {
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

/** Returns the page size of the process: the largest one of which all mappings are multiples. */
function pageSize(mappings: readonly Mapping[]): number {
  const fits = (size: number): boolean => mappings.every(({ start, end }) => start % size === 0 && end % size === 0);
  return [65_536, 16_384].find(fits) ?? 4096;
}

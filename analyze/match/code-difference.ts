import { hex } from '../../snapshots/address.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import type { Arch } from '../../snapshots/arch.js';
import { MemoryFault, type Memory } from '../../snapshots/memory.js';
import type { FunctionTable } from '../binary/function-table.js';
import type { Placement } from './placement.js';
import { endOfRelocated, REACH, type CodePair } from './relocated-operands.js';
import { blocks } from '../binary/scan.js';

/** What came of comparing the machine code of an image with that of a file. */
export interface CodeComparison {
  readonly comparedBytes: number;
  /** The first difference, as a part of a sentence; null where there is none. */
  readonly difference: string | null;
}

/** Of more code than this an even sample is compared. */
const MOST_COMPARED = 2 ** 26;

/**
 * Compares the Go code that an image holds with the file's. Builds of the same source may have their data at slightly
 * different places, so that operands by which it is reached may differ, and nothing else.
 */
export function compareCode(
  memory: Memory,
  arch: Arch,
  table: FunctionTable,
  file: ElfFile,
  placement: Placement,
): CodeComparison {
  const { minpc, maxpc } = table.module;
  const stride = Math.ceil((maxpc - minpc) / MOST_COMPARED);
  let comparedBytes = 0;
  let turn = 0;
  for (const { at, bytes } of blocks(memory, [{ lo: minpc, hi: maxpc }], REACH)) {
    if (turn++ % stride !== 0) continue;
    const there = file.bytesAt(at - placement.bias, bytes.length);
    if (there === null) {
      return { comparedBytes, difference: `it has no code at ${hex(Math.max(0, at - placement.bias))}` };
    }
    comparedBytes += bytes.length;
    if (bytes.equals(there)) continue;
    const offset = firstDifference(arch, { pc: at, process: viewOf(bytes), file: viewOf(there), placement });
    if (offset === null) continue;
    return { comparedBytes, difference: `the code of ${nameOf(table, at + offset)} is not the same` };
  }
  return { comparedBytes, difference: null };
}

function nameOf(table: FunctionTable, pc: number): string {
  try {
    return table.find(pc)?.name ?? hex(pc);
  } catch (error) {
    if (!(error instanceof MemoryFault)) throw error;
    return hex(pc);
  }
}

function firstDifference(arch: Arch, pair: CodePair): number | null {
  const { process, file } = pair;
  for (let i = 0; i < process.byteLength;) {
    if (process.getUint8(i) === file.getUint8(i)) {
      i++;
      continue;
    }
    const end = endOfRelocated(arch, pair, i);
    if (end === i) return i;
    i = end;
  }
  return null;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

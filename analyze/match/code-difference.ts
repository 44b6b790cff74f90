import { hex } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { ModuleData } from '../binary/module-data.js';
import { blocks } from '../binary/scan.js';
import type { Placement } from './placement.js';
import { OVERLAP, skipHarmlessDifference, type CodePair } from './relocated-operands.js';

/** The result of comparing the machine code of an image with that of a file. */
export interface CodeComparison {
  readonly comparedBytes: number;
  /** Describes the first difference, as a part of a sentence; null if there is none. */
  readonly difference: string | null;
}

/** If there is more code than this many bytes, an evenly distributed sample is compared. */
const MOST_COMPARED = 2 ** 26;

/** The functions of the code that is compared; a FunctionTable is one. */
interface CodeTable {
  readonly module: Pick<ModuleData, 'minpc' | 'maxpc'>;
  /** Returns the function at `pc`, or null. May throw MemoryFault. */
  find(pc: number): { readonly name: string } | null;
}

/**
 * Compares the Go code in an image with that of a file. Builds of the same source may place data differently, so operands
 * that address data may differ; nothing else may. Code that the image lacks is skipped.
 */
export function compareCode(
  memory: Memory,
  arch: Arch,
  table: CodeTable,
  file: Pick<ElfFile, 'bytesAt'>,
  placement: Placement,
): CodeComparison {
  const { minpc, maxpc } = table.module;
  const stride = Math.ceil((maxpc - minpc) / MOST_COMPARED);
  let comparedBytes = 0;
  let turn = 0;
  for (const { at, bytes } of blocks(memory, [{ lo: minpc, hi: maxpc }], OVERLAP)) {
    if (turn++ % stride !== 0) continue;
    const there = file.bytesAt(at - placement.bias, bytes.length);
    if (there === null) {
      return { comparedBytes, difference: `it has no code at ${hex(Math.max(0, at - placement.bias))}` };
    }
    comparedBytes += bytes.length;
    if (bytes.equals(there)) continue;
    const offset = firstDifference(arch, { pc: at, process: viewOf(bytes), file: viewOf(there), placement });
    if (offset === null) continue;
    return { comparedBytes, difference: `the code of ${functionAt(table, at + offset)} is not the same` };
  }
  return { comparedBytes, difference: null };
}

/** Returns the name of the function at `pc`, or the address if the image does not hold the name. */
function functionAt(table: CodeTable, pc: number): string {
  return onFault(
    () => table.find(pc)?.name ?? hex(pc),
    () => hex(pc),
  );
}

/** Returns the offset of the first difference that matters, or null if there is none. */
function firstDifference(arch: Arch, pair: CodePair): number | null {
  const { process, file } = pair;
  for (let i = 0; i < process.byteLength;) {
    if (process.getUint8(i) === file.getUint8(i)) {
      i++;
      continue;
    }
    const end = skipHarmlessDifference(arch, pair, i);
    if (end === i) return i;
    i = end;
  }
  return null;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

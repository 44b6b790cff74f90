import { plus } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';
import type { Func, FunctionTable } from '../binary/function-table.js';
import type { GoRelease } from '../runtime/releases.js';

/** A part of a frame that has pointer maps of its own. */
export type MappedPart = 'arguments' | 'locals';

/** FUNCDATA_ArgsPointerMaps and FUNCDATA_LocalsPointerMaps: internal/abi/symtab.go; runtime/symtab.go before 1.21. */
const FUNCDATA: Readonly<Record<MappedPart, number>> = { arguments: 0, locals: 1 };
/** Words of a map; no frame has as many. */
const MAX_WORDS = 1 << 20;

/**
 * Which words of a part of a frame hold pointers, as the garbage collector takes them: it keeps what they point to. The
 * first word of the arguments is that at argp (see frame-arguments.ts); they include the places to which arguments that
 * came in registers are spilled. The last word of the locals is the one below the saved frame pointer and return address.
 */
export interface PointerMap {
  readonly words: number;
  /** A bit for each word, the lowest of a byte first. */
  readonly bits: Uint8Array;
}

/**
 * The map that holds at `pc`: a return address, or the next instruction of a thread. null where the function has none.
 * Throws MemoryFault where the maps are absent. Mirrors stkframe.getStackMap of runtime/stkframe.go; getStackMap of
 * runtime/stack.go before 1.20.
 */
export function pointerMap(
  memory: Memory,
  release: GoRelease,
  table: FunctionTable,
  func: Func,
  pc: number,
  part: MappedPart,
): PointerMap | null {
  const maps = table.funcdata(func, FUNCDATA[part]);
  if (maps === null) return null;
  const index = pc === func.entry ? 0 : Math.max(0, table.pcdata(func, release.stackMapPcdata, pc - 1));
  const [count, words] = [memory.i32(maps), memory.i32(maps, 4)];
  if (index >= count || words < 0 || words > MAX_WORDS) return null;
  const bytes = Math.ceil(words / 8);
  return { words, bits: memory.bytes(plus(maps, 8 + index * bytes), bytes) };
}

/** True where the word is a pointer; false beyond the end of the map. */
export function isPointer({ words, bits }: PointerMap, word: number): boolean {
  return word < words && (((bits[word >> 3] ?? 0) >> (word & 7)) & 1) === 1;
}

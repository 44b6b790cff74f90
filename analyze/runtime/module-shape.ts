import { wordAt } from '../../snapshots/bytes.js';
import type { Range, Memory } from '../../snapshots/memory.js';
import type { Load } from '../binary/loads.js';
import { blocks } from '../binary/scan.js';
import { layoutsOf } from './layouts.js';

/**
 * Slices at the start of a moduledata (symtab.go): the linker writes them with a length that is their capacity. None is
 * empty, unlike what tables of other languages have: a pointer and two zeros.
 */
const SLICES = ['funcnametab', 'cutab', 'filetab', 'pctab', 'pclntable', 'ftab'] as const;

/** The offsets of these slices, one list for each order in which releases have had them. */
const SHAPES: readonly (readonly number[])[] = [
  ...new Map(
    layoutsOf('moduledata').map((layout) => {
      const offsets = SLICES.flatMap((field) => layout.optional(field) ?? []);
      return [offsets.join(), offsets] as const;
    }),
  ).values(),
];
const SLICE_BYTES = 24;
const SHAPE_BYTES = Math.max(...SHAPES.flat()) + SLICE_BYTES;

/**
 * Whether a loaded file has data that could be a moduledata. A process has many files loaded, most of which are not Go's:
 * this reads the initialized data of one and nothing else.
 */
export function mayHoldModule(memory: Memory, load: Load): boolean {
  const lo = load.mappings[0]?.start ?? 0;
  const hi = load.mappings.at(-1)?.end ?? 0;
  for (const { at, bytes } of blocks(memory, dataOf(load), SHAPE_BYTES)) {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const word = (offset: number): number => wordAt(words, offset);
    for (let i = (8 - (at % 8)) % 8; i + SHAPE_BYTES <= bytes.length; i += 8) {
      // The first word points to the function table, which is in the same file, and the parts of which follow it.
      const table = word(i);
      if (table < lo || table >= hi) continue;
      const isSlice = (offset: number): boolean => {
        const [data, length, capacity] = [word(i + offset), word(i + offset + 8), word(i + offset + 16)];
        return data >= table && data < hi && length > 0 && length === capacity && length <= hi - data;
      };
      if (SHAPES.some((offsets) => offsets.every(isSlice))) return true;
    }
  }
  return false;
}

/** The file's data: what is writable, and before it what the loader has made read-only. */
function dataOf({ path, mappings }: Load): Range[] {
  return mappings.flatMap(({ path: own, start, end, writable, executable, readable }, i) => {
    const next = mappings[i + 1];
    const isRelro = !writable && !executable && next?.writable === true && next.start === end;
    return readable && own === path && (writable || isRelro) ? [{ lo: start, hi: end }] : [];
  });
}

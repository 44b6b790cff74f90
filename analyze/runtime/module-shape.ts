import { wordAt } from '../../snapshots/bytes.js';
import type { Range, Memory } from '../../snapshots/memory.js';
import type { Load } from '../binary/loads.js';
import { blocks } from '../binary/scan.js';
import { layoutsOf, type Layout } from './layouts.js';

/**
 * Slices at the start of a moduledata (symtab.go), parts of the function table in the order in which they lie there. The
 * linker writes them with a length that is their capacity. Up to Go 1.15, pclntable is the whole table.
 */
const PARTS = ['funcnametab', 'cutab', 'filetab', 'pctab', 'pclntable'] as const;
/** The header of the function table up to Go 1.15, with the number of functions, which is followed by ftab. */
const OLD_HEADER_BYTES = 16;

/** Where the slices are in a moduledata, once for each order in which releases have had them. */
interface Shape {
  readonly parts: readonly number[];
  readonly pclntable: number;
  readonly ftab: number;
  /** Bytes from pclntable to ftab. */
  readonly toFtab: number;
}

function shapeOf(layout: Layout): Shape {
  const isOld = !layout.has('funcnametab');
  return {
    parts: (isOld ? (['pclntable', 'filetab'] as const) : PARTS).map((field) => layout.offset(field)),
    pclntable: layout.offset('pclntable'),
    ftab: layout.offset('ftab'),
    toFtab: isOld ? OLD_HEADER_BYTES : 0,
  };
}

const SHAPES: readonly Shape[] = [
  ...new Map(layoutsOf('moduledata').map((layout) => [JSON.stringify(shapeOf(layout)), shapeOf(layout)])).values(),
];
const SLICE_BYTES = 24;
const SHAPE_BYTES = Math.max(...SHAPES.flatMap(({ parts, ftab }) => [...parts, ftab])) + SLICE_BYTES;

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
      const fits = ({ parts, pclntable, ftab, toFtab }: Shape): boolean =>
        parts.every((part, n) => isSlice(part) && (n === 0 || word(i + part) > word(i + (parts[n - 1] ?? part)))) &&
        isSlice(ftab) &&
        word(i + ftab) === word(i + pclntable) + toFtab;
      if (SHAPES.some(fits)) return true;
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

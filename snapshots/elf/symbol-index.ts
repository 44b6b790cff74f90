import { firstAbove } from '../binary-search.js';
import { BytesError } from '../bytes.js';
import type { FileBytes } from '../regular-file.js';
import type { ElfSection } from './headers.js';
import { LARGEST_SECTION } from './section-data.js';
import { entriesIn, nameAt } from './symbols.js';

/** Symbols that start between the one that holds an address and the address itself, at most. */
const DEEPEST = 64;

/**
 * The functions of a symbol table, or its variables, by address, in sorted arrays: built in one pass, and a search then takes microseconds,
 * however large the table is. Names are read when they are asked for.
 */
export class SymbolIndex {
  readonly #file: FileBytes;
  readonly #strings: ElfSection;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #names: Float64Array;

  /** Throws {@link BytesError} if the table is broken or too large. The file must stay open for as long as this is used. */
  constructor(file: FileBytes, table: ElfSection, strings: ElfSection, wanted: 'function' | 'object') {
    if (table.sizeBytes > LARGEST_SECTION) throw new BytesError(`section ${table.name} is too large`);
    this.#file = file;
    this.#strings = strings;
    const starts: number[] = [];
    const ends: number[] = [];
    const names: number[] = [];
    for (const { type, defined, value, sizeBytes, nameOffset } of entriesIn(file, table)) {
      if (type !== wanted || !defined || sizeBytes === 0) continue;
      starts.push(value);
      ends.push(value + sizeBytes);
      names.push(nameOffset);
    }
    // Of several names for one address the first in the file comes last, since the search goes down from above.
    const order = Uint32Array.from(starts.keys()).sort((a, b) => (starts[a] ?? 0) - (starts[b] ?? 0) || b - a);
    const ordered = (values: readonly number[]): Float64Array => Float64Array.from(order, (i) => values[i] ?? 0);
    [this.#starts, this.#ends, this.#names] = [ordered(starts), ordered(ends), ordered(names)];
  }

  /**
   * The innermost one that holds a link-time address, by the first of its names; null if none does. Throws
   * {@link BytesError} if its name is broken.
   */
  at(vaddr: number): { readonly name: string; readonly value: number } | null {
    const last = firstAbove(this.#starts, vaddr) - 1;
    for (let i = last; i >= 0 && i > last - DEEPEST; i--) {
      const [value, end, name] = [this.#starts[i] ?? 0, this.#ends[i] ?? 0, this.#names[i] ?? 0];
      if (vaddr < end) return { name: nameAt(this.#file, this.#strings, name), value };
    }
    return null;
  }
}

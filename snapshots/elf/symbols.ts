import { BytesError, wordAt } from '../bytes.js';
import type { FileBytes } from '../regular-file.js';
import type { ElfSection } from './headers.js';

/** An entry of .symtab or .dynsym. */
export interface ElfSymbol {
  readonly name: string;
  /** Link-time address; in a relocatable file, the offset in the section. */
  readonly value: number;
  readonly sizeBytes: number;
  readonly type: 'none' | 'object' | 'function' | 'section' | 'file' | 'other';
  /** False if the symbol is only used in this file and defined in another one. */
  readonly defined: boolean;
}

const ENTRY_SIZE = 24;
/** Number of entries read from the file at a time. */
const BATCH = 2048;
/** Bytes read at first for a name; four times as many at each further attempt. */
const NAME_STEP = 256;
const LONGEST_NAME = 2 ** 16;
const TYPES = ['none', 'object', 'function', 'section', 'file'] as const;

/** A symbol whose name was not looked up. `nameOffset` is its place among the names. */
export interface SymbolEntry extends Omit<ElfSymbol, 'name'> {
  readonly nameOffset: number;
}

/** Yields the symbols of a table whose names are in `strings`, in file order. Throws {@link BytesError} if broken. */
export function* symbolsIn(file: FileBytes, table: ElfSection, strings: ElfSection): Generator<ElfSymbol> {
  for (const { nameOffset, ...entry } of entriesIn(file, table)) {
    yield { name: nameAt(file, strings, nameOffset), ...entry };
  }
}

/** Yields the symbols of a table without their names, in file order. Throws {@link BytesError} if broken. */
export function* entriesIn(file: FileBytes, table: ElfSection): Generator<SymbolEntry> {
  const count = Math.floor(table.sizeBytes / ENTRY_SIZE);
  for (let first = 0; first < count; first += BATCH) {
    const n = Math.min(BATCH, count - first);
    const { buffer, byteOffset } = file.read(table.fileOffset + first * ENTRY_SIZE, n * ENTRY_SIZE);
    const view = new DataView(buffer, byteOffset, n * ENTRY_SIZE);
    for (let at = 0; at < view.byteLength; at += ENTRY_SIZE) {
      const [value, sizeBytes] = [wordAt(view, at + 8), wordAt(view, at + 16)];
      // Absolute symbols may have any value. One above 2^53 cannot be an address.
      if (!Number.isSafeInteger(value) || !Number.isSafeInteger(sizeBytes)) continue;
      const type = TYPES[view.getUint8(at + 4) % 16] ?? 'other';
      yield {
        nameOffset: view.getUint32(at, true),
        value,
        sizeBytes,
        type,
        defined: view.getUint16(at + 6, true) !== 0,
      };
    }
  }
}

/** The name at an offset of the names. Throws {@link BytesError} if it is not there or has no end. */
export function nameAt(file: FileBytes, strings: ElfSection, offset: number): string {
  let length = NAME_STEP;
  for (;;) {
    const rest = strings.sizeBytes - offset;
    const bytes = file.read(strings.fileOffset + offset, Math.min(length, rest));
    const end = bytes.indexOf(0);
    if (end >= 0) return Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('utf8');
    if (length >= rest || length >= LONGEST_NAME) throw new BytesError(`the symbol name at ${offset} has no end`);
    length *= 4;
  }
}

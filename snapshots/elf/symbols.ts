import { Bytes, BytesError } from '../bytes.js';
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

/** Yields the symbols of a table whose names are in `strings`, in file order. Throws {@link BytesError} if broken. */
export function* symbolsIn(file: FileBytes, table: ElfSection, strings: ElfSection): Generator<ElfSymbol> {
  const count = Math.floor(table.sizeBytes / ENTRY_SIZE);
  for (let first = 0; first < count; first += BATCH) {
    const n = Math.min(BATCH, count - first);
    const at = new Bytes(file.read(table.fileOffset + first * ENTRY_SIZE, n * ENTRY_SIZE));
    for (let i = 0; i < n; i++) {
      at.at = i * ENTRY_SIZE;
      const nameOffset = at.u32();
      const info = at.u8();
      at.at += 1;
      const defined = at.u16() !== 0;
      const value = Number(at.u64());
      const sizeBytes = Number(at.u64());
      // Absolute symbols may have any value. One above 2^53 cannot be an address.
      if (!Number.isSafeInteger(value) || !Number.isSafeInteger(sizeBytes)) continue;
      yield { name: nameAt(file, strings, nameOffset), value, sizeBytes, type: TYPES[info % 16] ?? 'other', defined };
    }
  }
}

function nameAt(file: FileBytes, strings: ElfSection, offset: number): string {
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

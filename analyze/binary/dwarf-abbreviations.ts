import { Bytes, BytesError } from '../../snapshots/bytes.js';

/** The shape of all entries of the debug information that have the same code (DWARF 5, 7.5.3). */
export interface Abbreviation {
  readonly tag: number;
  readonly hasChildren: boolean;
  readonly attributes: readonly {
    readonly attribute: number;
    readonly form: number;
    /** The value of DW_FORM_implicit_const. */
    readonly implicit: number;
  }[];
}

const IMPLICIT_CONST = 0x21;
const MAX_CODES = 100_000;
const MAX_ATTRIBUTES = 1000;

/** The tables of .debug_abbrev, each parsed when it is first used. */
export class DwarfAbbreviations {
  readonly #bytes: Uint8Array;
  readonly #tables = new Map<number, ReadonlyMap<number, Abbreviation>>();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Returns the table at an offset, by code. Throws {@link BytesError} if it is broken. */
  at(offset: number): ReadonlyMap<number, Abbreviation> {
    const known = this.#tables.get(offset);
    if (known !== undefined) return known;
    const table = readTable(new Bytes(this.#bytes, offset));
    this.#tables.set(offset, table);
    return table;
  }
}

function readTable(at: Bytes): Map<number, Abbreviation> {
  const table = new Map<number, Abbreviation>();
  for (let code = at.uleb(); code !== 0; code = at.uleb()) {
    if (table.size === MAX_CODES) throw new BytesError('the debug information has too many abbreviations');
    const tag = at.uleb();
    const hasChildren = at.u8() !== 0;
    const attributes: Abbreviation['attributes'][number][] = [];
    for (let i = 0; i < MAX_ATTRIBUTES; i++) {
      const [attribute, form] = [at.uleb(), at.uleb()];
      const implicit = form === IMPLICIT_CONST ? at.sleb() : 0;
      if (attribute === 0 && form === 0) break;
      attributes.push({ attribute, form, implicit });
    }
    table.set(code, { tag, hasChildren, attributes });
  }
  return table;
}

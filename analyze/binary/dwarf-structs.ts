import { Bytes, BytesError } from '../../snapshots/bytes.js';
import type { ElfFile } from '../../snapshots/elf/elf-file.js';
import type { StructLayout } from '../../snapshots/image.js';
import { DwarfAbbreviations, type Abbreviation } from './dwarf-abbreviations.js';
import { DwarfValues, type DwarfUnit } from './dwarf-values.js';

/** DW_TAG_member, DW_TAG_structure_type; DW_AT_name, DW_AT_byte_size, DW_AT_data_member_location (DWARF 5, 7.5). */
const MEMBER = 0x0d;
const STRUCTURE = 0x13;
const NAME = 0x03;
const BYTE_SIZE = 0x0b;
const MEMBER_LOCATION = 0x38;

/** Unit types with fields of their own in the header (DWARF 5, 7.5.1). */
const TYPE_UNITS: ReadonlySet<number> = new Set([2, 6]);
const SPLIT_UNITS: ReadonlySet<number> = new Set([4, 5]);

/**
 * Returns sizes and field offsets of structs by name (`runtime.g`), from the debug information of an ELF file: DWARF 2 to
 * 5, written by Go's linker or by others, compressed or not. Stops when every name is found. Broken debug information
 * ends the search: names not found by then are missing from the result. Takes about 50 ms for each 10 MB.
 */
export function dwarfStructs(file: ElfFile, names: ReadonlySet<string>): Map<string, StructLayout> {
  const found = new Map<string, StructLayout>();
  try {
    const info = section(file, 'info');
    const abbreviations = section(file, 'abbrev');
    if (info === null || abbreviations === null) return found;
    const search = new Search(info, abbreviations, file, names, found);
    while (search.unit());
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
  }
  return found;
}

/** Returns the content of a debug section, or null if the file has none. Before Go 1.19, compressed ones are `.zdebug_`. */
function section(file: ElfFile, name: string): Uint8Array | null {
  const found = file.section(`.debug_${name}`) ?? file.section(`.zdebug_${name}`);
  return found === undefined ? null : file.contents(found);
}

/** Walks the entries of .debug_info. */
class Search {
  readonly #info: Bytes;
  readonly #abbreviations: DwarfAbbreviations;
  readonly #values: DwarfValues;
  readonly #names: ReadonlySet<string>;
  readonly #found: Map<string, StructLayout>;

  constructor(
    info: Uint8Array,
    abbreviations: Uint8Array,
    file: ElfFile,
    names: ReadonlySet<string>,
    found: Map<string, StructLayout>,
  ) {
    this.#info = new Bytes(info);
    this.#abbreviations = new DwarfAbbreviations(abbreviations);
    this.#values = new DwarfValues(this.#info, section(file, 'str'), section(file, 'line_str'));
    this.#names = names;
    this.#found = found;
  }

  /** Searches the next unit. Returns false if there is none, or everything is found. */
  unit(): boolean {
    const at = this.#info;
    if (at.at >= at.length || this.#found.size === this.#names.size) return false;
    const short = at.u32();
    const wide = short === 0xffffffff;
    const end = (wide ? at.word() : short) + at.at;
    if (end > at.length) throw new BytesError('a unit of the debug information reaches past its end');
    const version = at.u16();
    if (version < 2 || version > 5) {
      at.at = end;
      return true;
    }
    const type = version === 5 ? at.u8() : 0;
    let addressBytes = version === 5 ? at.u8() : 0;
    const table = wide ? at.word() : at.u32();
    if (version < 5) addressBytes = at.u8();
    const unit = { version, wide, addressBytes };
    if (TYPE_UNITS.has(type)) at.at += 8 + (wide ? 8 : 4);
    if (SPLIT_UNITS.has(type)) at.at += 8;
    this.#entries(unit, this.#abbreviations.at(table), end);
    at.at = end;
    return true;
  }

  #entries(unit: DwarfUnit, table: ReadonlyMap<number, Abbreviation>, end: number): void {
    const at = this.#info;
    /** Fields of the struct whose members are being read, and the depth of those members; -1 outside of such a struct. */
    let fields: Record<string, number> = {};
    let members = -1;
    for (let depth = 0; at.at < end;) {
      const code = at.uleb();
      if (code === 0) {
        if (--depth <= 0) return;
        if (depth < members) members = -1;
        if (this.#found.size === this.#names.size && members < 0) return;
        continue;
      }
      const abbreviation = table.get(code);
      if (abbreviation === undefined) throw new BytesError(`the debug information has no abbreviation ${code}`);
      const { tag, hasChildren } = abbreviation;
      if (tag === MEMBER && depth === members) {
        const { name, location } = this.#readAttributes(unit, abbreviation);
        if (name !== null && location !== null) fields[name] = location;
      } else if (tag === STRUCTURE && members < 0) {
        const { name, sizeBytes } = this.#readAttributes(unit, abbreviation);
        if (name !== null && sizeBytes !== null && this.#names.has(name) && !this.#found.has(name)) {
          fields = {};
          this.#found.set(name, { sizeBytes, fields });
          if (hasChildren) members = depth + 1;
        }
      } else {
        for (const { form } of abbreviation.attributes) this.#values.skip(unit, form);
      }
      if (hasChildren) depth++;
      else if (depth === 0) return;
    }
  }

  #readAttributes(
    unit: DwarfUnit,
    { attributes }: Abbreviation,
  ): { name: string | null; sizeBytes: number | null; location: number | null } {
    let name: string | null = null;
    let sizeBytes: number | null = null;
    let location: number | null = null;
    for (const { attribute, form, implicit } of attributes) {
      if (attribute === NAME) name = this.#values.text(unit, form);
      else if (attribute === BYTE_SIZE) sizeBytes = this.#values.number(unit, form, implicit);
      else if (attribute === MEMBER_LOCATION) location = this.#values.number(unit, form, implicit);
      else this.#values.skip(unit, form);
    }
    return { name, sizeBytes, location };
  }
}

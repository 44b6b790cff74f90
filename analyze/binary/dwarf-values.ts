import { Bytes, BytesError } from '../../snapshots/bytes.js';

/** How a unit of the debug information encodes its values. */
export interface DwarfUnit {
  readonly version: number;
  /** True for the 64-bit DWARF format, in which offsets take 8 bytes. */
  readonly wide: boolean;
  readonly addressBytes: number;
}

/** Encodings of values (DW_FORM_..., DWARF 5, 7.5.6) whose content is read. */
const FORM = {
  block1: 0x0a,
  data2: 0x05,
  data4: 0x06,
  data8: 0x07,
  string: 0x08,
  data1: 0x0b,
  sdata: 0x0d,
  strp: 0x0e,
  udata: 0x0f,
  indirect: 0x16,
  exprloc: 0x18,
  lineStrp: 0x1f,
  implicitConst: 0x21,
} as const;

/** Forms of a fixed length, with that length in bytes. */
const FIXED: ReadonlyMap<number, number> = new Map([
  ...([0x0b, 0x0c, 0x11, 0x25, 0x29] as const).map((form) => [form, 1] as const),
  ...([0x05, 0x12, 0x26, 0x2a] as const).map((form) => [form, 2] as const),
  ...([0x27, 0x2b] as const).map((form) => [form, 3] as const),
  ...([0x06, 0x13, 0x1c, 0x28, 0x2c] as const).map((form) => [form, 4] as const),
  ...([0x07, 0x14, 0x20, 0x24] as const).map((form) => [form, 8] as const),
  ...([0x19, 0x21] as const).map((form) => [form, 0] as const),
  [0x1e, 16],
]);
/** Forms that are an offset into a section: 4 bytes, or 8 in the 64-bit DWARF format. */
const OFFSETS: ReadonlySet<number> = new Set([0x0e, 0x17, 0x1d, 0x1f, 0x1f20, 0x1f21]);
/** Forms that are one LEB128 number. */
const LEB: ReadonlySet<number> = new Set([0x0d, 0x0f, 0x15, 0x1a, 0x1b, 0x22, 0x23]);

const DW_OP_PLUS_UCONST = 0x23;
const LONGEST_NAME = 4096;

/** Reads or skips the values of entries, at the cursor into .debug_info. */
export class DwarfValues {
  readonly #info: Bytes;
  readonly #strings: Uint8Array | null;
  readonly #lineStrings: Uint8Array | null;

  constructor(info: Bytes, strings: Uint8Array | null, lineStrings: Uint8Array | null) {
    this.#info = info;
    this.#strings = strings;
    this.#lineStrings = lineStrings;
  }

  /** Skips a value. Throws {@link BytesError} for an unknown form, since the values after it cannot be found. */
  skip(unit: DwarfUnit, form: number): void {
    const at = this.#info;
    const fixed = FIXED.get(form);
    if (fixed !== undefined) at.take(fixed);
    else if (LEB.has(form)) at.skipLeb();
    else if (OFFSETS.has(form)) at.take(unit.wide ? 8 : 4);
    else if (form === FORM.string) at.skipString();
    else if (form === 0x01) at.take(unit.addressBytes);
    else if (form === 0x10) at.take(unit.version === 2 ? unit.addressBytes : unit.wide ? 8 : 4);
    else if (form === FORM.block1) at.take(at.u8());
    else if (form === 0x03) at.take(at.u16());
    else if (form === 0x04) at.take(at.u32());
    else if (form === 0x09 || form === FORM.exprloc) at.take(at.uleb());
    else if (form === FORM.indirect) this.skip(unit, this.#direct());
    else throw new BytesError(`the debug information has values of form ${form}`);
  }

  /** Reads the text of a name. Skips the value and returns null for forms that names of Go structs never have. */
  text(unit: DwarfUnit, form: number): string | null {
    const at = this.#info;
    if (form === FORM.string) return at.cstring();
    if (form !== FORM.strp && form !== FORM.lineStrp) {
      this.skip(unit, form);
      return null;
    }
    const offset = unit.wide ? at.word() : at.u32();
    const strings = form === FORM.strp ? this.#strings : this.#lineStrings;
    if (strings === null || offset >= strings.length) return null;
    return new Bytes(strings.subarray(offset, offset + LONGEST_NAME)).cstring();
  }

  /**
   * Reads a size or an offset: a constant, or an expression that adds one (DW_OP_plus_uconst). `implicit` is the value
   * for DW_FORM_implicit_const. Skips the value and returns null for other forms.
   */
  number(unit: DwarfUnit, form: number, implicit: number): number | null {
    const at = this.#info;
    switch (form) {
      case FORM.data1:
        return at.u8();
      case FORM.data2:
        return at.u16();
      case FORM.data4:
        return at.u32();
      case FORM.data8:
        return at.word();
      case FORM.udata:
        return at.uleb();
      case FORM.sdata:
        return at.sleb();
      case FORM.implicitConst:
        return implicit;
      case FORM.block1:
        return plusConstant(at.take(at.u8()));
      case FORM.exprloc:
        return plusConstant(at.take(at.uleb()));
      default:
        this.skip(unit, form);
        return null;
    }
  }

  #direct(): number {
    const form = this.#info.uleb();
    if (form === FORM.indirect) throw new BytesError('the debug information has a form that leads to itself');
    return form;
  }
}

/** Returns the operand of an expression that is one DW_OP_plus_uconst, else null. */
function plusConstant(expression: Uint8Array): number | null {
  const at = new Bytes(expression);
  return expression.length > 1 && at.u8() === DW_OP_PLUS_UCONST ? at.uleb() : null;
}

import { RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, type Instruction } from './amd64.js';
import {
  addressOf,
  inFrame,
  isSame,
  loadedFrom,
  registerAtEntry,
  argumentAtEntry,
  shifted,
  unknownFrom,
  type Value,
} from './code-values.js';

const REGISTERS = 16;
/** Words of arguments on the stack that are told apart. */
const ARGUMENTS = 16;
/** Bytes that a wide store changes, and those of a run of stores. */
const WIDE_STORE = 64;
const STRING_STORE = 4096;

/** What general registers and the words of a frame hold at one place in the code, as far as that is known. */
export class Registers {
  readonly #registers: (Value | null)[];
  /** By offset from the stack pointer at the function's entry. */
  readonly #slots: Map<number, Value>;

  private constructor(registers: (Value | null)[], slots: Map<number, Value>) {
    this.#registers = registers;
    this.#slots = slots;
  }

  /** Those at the entry of a function. */
  static atEntry(): Registers {
    const registers = Array.from({ length: REGISTERS }, (_, i) => (i === RSP ? inFrame(0) : registerAtEntry(i)));
    const slots = new Map<number, Value>();
    for (let i = 1; i <= ARGUMENTS; i++) slots.set(8 * i, argumentAtEntry(8 * i));
    return new Registers(registers, slots);
  }

  copy(): Registers {
    return new Registers([...this.#registers], new Map(this.#slots));
  }

  get(register: number): Value | null {
    return this.#registers[register] ?? null;
  }

  set(register: number, value: Value | null): void {
    this.#registers[register] = value;
  }

  /** Bytes from the stack pointer at the function's entry to the stack pointer; null where that is not known. */
  get sp(): number | null {
    const sp = this.get(RSP);
    return sp?.origin.kind === 'frame' ? sp.offset : null;
  }

  slot(offset: number): Value | null {
    return this.#slots.get(offset) ?? null;
  }

  /** The words of the frame that are known, by offset. */
  get slots(): Iterable<readonly [offset: number, value: Value]> {
    return this.#slots;
  }

  store(offset: number, value: Value | null): void {
    this.forget(offset, offset + 8);
    if (value !== null) this.#slots.set(offset, value);
  }

  /** Forgets the words of the frame that lie in part between two offsets. */
  forget(from: number, to: number): void {
    for (const offset of this.#slots.keys()) if (offset + 8 > from && offset < to) this.#slots.delete(offset);
  }

  /** The word at an address; it gets a name by where it was read if nothing else is known of it. */
  load(at: Value | null, place: string): Value | null {
    if (at === null) return null;
    if (at.origin.kind !== 'frame') return loadedFrom(at);
    const known = this.slot(at.offset);
    if (known !== null) return known;
    const value = unknownFrom(place);
    this.store(at.offset, value);
    return value;
  }

  /**
   * What holds here if control may also come with `other`. What differs gets a name by the place, so that it stays one value
   * from there on. Returns null if nothing changes by it.
   */
  joined(other: Registers, place: string): Registers | null {
    const out = this.copy();
    let isChanged = false;
    for (let i = 0; i < REGISTERS; i++) {
      const value = this.get(i);
      const met = meet(value, other.get(i), `${place} r${i}`);
      if (met === value) continue;
      out.set(i, met);
      isChanged = true;
    }
    for (const [offset, value] of this.#slots) {
      const met = meet(value, other.slot(offset), `${place} s${offset}`);
      if (met === value) continue;
      out.store(offset, met);
      isChanged = true;
    }
    return isChanged ? out : null;
  }

  /**
   * What a call leaves. It may change the variables whose address was taken: those that hold pointers are `changed`. `arguments_`
   * are bytes at the stack pointer that are the callee's to change.
   */
  call(escaped: ReadonlySet<number>, changed: readonly FrameRange[], arguments_: number): void {
    const { sp } = this;
    for (let i = 0; i < REGISTERS; i++) if (i !== RSP && i !== RBP) this.set(i, null);
    if (sp !== null) this.forget(sp, Math.min(0, sp + arguments_));
    for (const offset of escaped) {
      const { from, to } = changed.find((range) => offset >= range.from && offset < range.to) ?? {
        from: offset,
        to: offset + 8,
      };
      // A closure that lies in the frame begins with the address of its code, and is never changed.
      if (this.slot(from)?.origin.kind !== 'address') this.forget(from, to);
    }
  }
}

/** Bytes of a frame, counted from the stack pointer at the function's entry. */
export interface FrameRange {
  readonly from: number;
  readonly to: number;
}

function meet(a: Value | null, b: Value | null, place: string): Value | null {
  if (a === null || b === null) return a === null ? a : null;
  return isSame(a, b) || a.origin.key === `unknown ${place}` ? a : unknownFrom(place);
}

/** Opcodes of one byte that the register field of modrm extends. */
const EXTENDED: ReadonlySet<number> = new Set([
  ...[0x80, 0x81, 0x83, 0x8f, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff],
]);

/** Follows values through instructions that are not calls. */
export class RegisterSteps {
  /** Where the code begins. */
  readonly #entry: number;
  /** Offsets in the frame whose address some code has taken. */
  readonly escaped = new Set<number>();

  constructor(entry: number) {
    this.#entry = entry;
  }

  /** The address of the operand in memory; null where it is not known, or the instruction has none. */
  address(r: Registers, i: Instruction): Value | null {
    if (!i.hasModrm || i.rm >= 0) return null;
    if (i.isRelative) return addressOf(this.#entry + i.end + i.displacement);
    if (i.index >= 0) return null;
    if (i.base < 0) return addressOf(i.displacement);
    const base = r.get(i.base);
    return base === null ? null : shifted(base, i.displacement);
  }

  step(r: Registers, i: Instruction): void {
    if (i.isVector || i.map > 1) this.#others(r, i, WIDE_STORE);
    else if (i.map === 1) this.#afterEscape(r, i);
    else this.#oneByte(r, i);
  }

  #oneByte(r: Registers, i: Instruction): void {
    const { opcode, reg, rm, isWide } = i;
    const place = `${i.at}`;
    switch (opcode) {
      case 0x8b:
        r.set(reg, !isWide ? null : rm >= 0 ? r.get(rm) : r.load(this.address(r, i), place));
        return;
      case 0x89:
        if (rm >= 0) r.set(rm, isWide ? r.get(reg) : null);
        else this.#store(r, i, isWide ? r.get(reg) : null, 8);
        return;
      case 0x8d:
        this.#take(r, i);
        return;
      case 0x81:
      case 0x83:
        this.#addImmediate(r, i);
        return;
      case 0x88:
      case 0xc6:
      case 0xc7:
        // Without REX, the numbers 4 to 7 of a byte are those of AH to BH.
        if (rm >= 0 && rm !== RSP) r.set(rm, null);
        if (rm >= 4 && rm < 8 && opcode !== 0xc7) r.set(rm - 4, null);
        if (rm < 0) this.#store(r, i, null, 8);
        return;
      case 0x84:
      case 0x85:
      case 0x90:
      case 0xa8:
      case 0xa9:
      case 0x68:
      case 0x6a:
        if (opcode === 0x90 && reg !== RAX) this.#forget(r, [RAX, reg]);
        if (opcode === 0x68 || opcode === 0x6a) push(r, null);
        return;
      case 0xc9:
        r.set(RSP, r.get(RBP));
        r.set(RBP, pop(r, place));
        return;
      case 0x98:
        r.set(RAX, null);
        return;
      case 0x99:
        r.set(RDX, null);
        return;
      case 0xff:
        if ((reg & 7) === 6) push(r, rm >= 0 ? r.get(rm) : null);
        else this.#others(r, i, 8);
        return;
      default:
    }
    if ((opcode & 0xf8) === 0x50) push(r, r.get(reg));
    else if ((opcode & 0xf8) === 0x58) r.set(reg, pop(r, place));
    else if ((opcode & 0xf8) === 0xb8) r.set(reg, isWide || i.immediate >= 0 ? addressOf(i.immediate) : null);
    else if (opcode < 0x40) this.#arithmetic(r, i);
    else if (opcode >= 0x70 && opcode < 0x80) return;
    else if (opcode >= 0xa4 && opcode <= 0xaf) this.#string(r);
    else if (opcode >= 0xf6 && opcode <= 0xf7) {
      if ((reg & 7) >= 4) this.#forget(r, [RAX, RDX]);
      else if ((reg & 7) >= 2) this.#others(r, i, 8);
    } else if (opcode === 0x69 || opcode === 0x6b || opcode === 0x63 || opcode === 0x8a) r.set(reg, null);
    else if (i.hasModrm) this.#others(r, i, 8);
    else this.#forget(r, [RAX, RCX, RDX, RBX]);
  }

  #afterEscape(r: Registers, i: Instruction): void {
    const { opcode, reg, rm } = i;
    if (opcode >= 0x80 && opcode < 0x90) return;
    if (opcode >= 0x40 && opcode < 0x50) r.set(reg, null);
    else if (opcode >= 0x90 && opcode < 0xa0) {
      if (rm >= 0) r.set(rm, null);
      else this.#store(r, i, null, 8);
    } else if (opcode === 0xa2) this.#forget(r, [RAX, RCX, RDX, RBX]);
    else if (opcode === 0xb6 || opcode === 0xb7 || opcode === 0xbe || opcode === 0xbf || opcode === 0xaf)
      r.set(reg, null);
    else if (opcode === 0xbc || opcode === 0xbd || opcode === 0xb8) r.set(reg, null);
    else if (opcode === 0xb0 || opcode === 0xb1) {
      r.set(RAX, null);
      this.#others(r, i, 8);
    } else if (opcode === 0xa3 || opcode === 0x0d || (opcode >= 0x18 && opcode <= 0x1f)) return;
    else if (opcode >= 0xc8 && opcode < 0xd0)
      this.#forget(
        r,
        Array.from({ length: REGISTERS }, (_, n) => n).filter((n) => n !== RSP && n !== RBP),
      );
    else if (isVectorLoad(opcode)) return;
    else if (rm < 0 && isVectorStore(opcode)) this.#store(r, i, null, 16);
    else if (opcode === 0x05) this.#forget(r, [RAX, RCX, 11]);
    else if (opcode === 0x31 || opcode === 0x01) this.#forget(r, [RAX, RCX, RDX]);
    else this.#others(r, i, 16);
  }

  /** Add, or, adc, sbb, and, sub, xor, cmp of registers and memory; of immediates with RAX. */
  #arithmetic(r: Registers, i: Instruction): void {
    const kind = i.opcode >>> 3;
    if (kind === 7) return;
    const form = i.opcode & 7;
    if (form >= 4) r.set(RAX, null);
    else if (form >= 2) r.set(i.reg, null);
    else if (i.rm >= 0) r.set(i.rm, null);
    else this.#store(r, i, null, 8);
  }

  #addImmediate(r: Registers, i: Instruction): void {
    const kind = i.reg & 7;
    if (kind === 7) return;
    if (i.rm < 0) {
      this.#store(r, i, null, 8);
      return;
    }
    const value = r.get(i.rm);
    const isSum = i.isWide && value !== null && (kind === 0 || kind === 5);
    r.set(i.rm, isSum ? shifted(value, kind === 0 ? i.immediate : -i.immediate) : null);
  }

  #take(r: Registers, i: Instruction): void {
    const at = this.address(r, i);
    // The stack pointer itself moves by lea, too.
    if (at?.origin.kind === 'frame' && i.reg !== RSP && i.reg !== RBP) this.escaped.add(at.offset);
    r.set(i.reg, i.isWide ? at : null);
  }

  #string(r: Registers): void {
    const to = r.get(RDI);
    if (to?.origin.kind === 'frame') r.forget(to.offset, to.offset + STRING_STORE);
    this.#forget(r, [RAX, RCX, RSI, RDI]);
  }

  /** An instruction that may change any of its operands. */
  #others(r: Registers, i: Instruction, bytes: number): void {
    if (!i.hasModrm) return;
    // Where an opcode has no second operand, or one in a vector register, the number is not that of a general register.
    if (i.reg !== RSP && !(i.map === 0 && EXTENDED.has(i.opcode))) r.set(i.reg, null);
    if (i.rm < 0) this.#store(r, i, null, bytes);
    else if (i.rm !== RSP || (i.map === 0 && !i.isVector)) r.set(i.rm, null);
  }

  #store(r: Registers, i: Instruction, value: Value | null, bytes: number): void {
    const at = this.address(r, i);
    if (at !== null) {
      if (at.origin.kind !== 'frame') return;
      if (bytes > 8) r.forget(at.offset, at.offset + bytes);
      else r.store(at.offset, value);
      return;
    }
    // An element of an array that lies in the frame.
    const base = i.base < 0 ? null : r.get(i.base);
    if (base?.origin.kind === 'frame')
      r.forget(base.offset + i.displacement, base.offset + i.displacement + STRING_STORE);
  }

  #forget(r: Registers, registers: readonly number[]): void {
    for (const register of registers) r.set(register, null);
  }
}

function push(r: Registers, value: Value | null): void {
  const { sp } = r;
  if (sp === null) return;
  r.set(RSP, inFrame(sp - 8));
  r.store(sp - 8, value);
}

function pop(r: Registers, place: string): Value | null {
  const { sp } = r;
  if (sp === null) return null;
  const value = r.load(inFrame(sp), place);
  r.set(RSP, inFrame(sp + 8));
  return value;
}

/** Instructions of SSE that only change a vector register, and comparisons. */
function isVectorLoad(opcode: number): boolean {
  return (
    [0x10, 0x12, 0x14, 0x15, 0x16, 0x28, 0x2a, 0x2e, 0x2f, 0x6e, 0x6f, 0x70, 0xc2, 0xc4, 0xc6, 0xe6].includes(opcode) ||
    (opcode >= 0x51 && opcode <= 0x6d) ||
    (opcode >= 0x74 && opcode <= 0x77) ||
    (opcode >= 0xd0 && opcode <= 0xd5) ||
    (opcode >= 0xd8 && opcode <= 0xe5) ||
    (opcode >= 0xe8 && opcode <= 0xef) ||
    (opcode >= 0xf1 && opcode <= 0xfe)
  );
}

function isVectorStore(opcode: number): boolean {
  return [0x11, 0x13, 0x17, 0x29, 0x2b, 0x7e, 0x7f, 0xc3, 0xd6, 0xe7].includes(opcode);
}

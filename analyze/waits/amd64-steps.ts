import { Amd64Decoder, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from './amd64.js';
import { STRING_STORE, type Registers } from './code-registers.js';
import { addressOf, inFrame, multiplied, shifted, summed, type Value } from './code-values.js';
import type { Cpu, Instruction, Truth } from './instruction.js';

const REGISTERS = 16;
/** Bytes that a wide store changes. */
const WIDE_STORE = 64;

const LEA = 0x8d;
const CMPXCHG = 0xb1;
const XADD = 0xc1;
const SETE = 0x94;
/** Calls of what is in a register or in memory are one of these. */
const GROUP_5 = 0xff;
/** The prefix of an atomic instruction. */
const LOCK = 0xf0;

/** Its code, and how Go's code uses it: arguments and results begin in RAX, closures come in RDX. */
export const AMD64: Cpu = {
  registers: REGISTERS,
  sp: RSP,
  kept: [RSP, RBP],
  results: [RAX, RBX, RCX, RDI],
  first: RAX,
  closure: RDX,
  pushed: 8,
  changedByBarrier: [11],
  *atomicsIn(code) {
    for (let at = 0; at < code.byteLength; at++) if (code.getUint8(at) === LOCK) yield at;
  },
  mayCallIndirectly(code) {
    for (let at = 0; at + 1 < code.byteLength; at++)
      if (code.getUint8(at) === GROUP_5 && (code.getUint8(at + 1) & 0x38) === 0x10) return true;
    return false;
  },
  instruction: (entry) => new Amd64Instruction(entry),
};

/** Opcodes of one byte that the register field of modrm extends. */
const EXTENDED: ReadonlySet<number> = new Set([
  ...[0x80, 0x81, 0x83, 0x8f, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff],
]);

/** Follows values through instructions of amd64. */
class Amd64Instruction extends Amd64Decoder implements Instruction {
  /** Where the code begins. */
  readonly #entry: number;

  constructor(entry: number) {
    super();
    this.#entry = entry;
  }

  get isTableJump(): boolean {
    return this.flow === 'jump-indirect' && this.index >= 0;
  }

  get named(): number | null {
    return this.map === 0 && this.opcode === LEA && this.isRelative ? this.#entry + this.end + this.displacement : null;
  }

  get atomic(): Instruction['atomic'] {
    if (!this.isLocked || this.map !== 1) return null;
    return this.opcode === CMPXCHG ? 'compare' : this.opcode === XADD ? 'add' : 'other';
  }

  get added(): number {
    return this.reg;
  }

  address(r: Registers): Value | null {
    if (!this.hasModrm || this.rm >= 0) return null;
    if (this.isRelative) return addressOf(this.#entry + this.end + this.displacement);
    const base = this.base < 0 ? addressOf(0) : r.get(this.base);
    const at = this.index < 0 ? base : summed(base, r.get(this.index), this.scale);
    return at === null ? null : shifted(at, this.displacement);
  }

  callee(r: Registers): Value | null {
    if (this.rm >= 0) return r.get(this.rm);
    const at = this.address(r);
    return at === null ? null : r.load(at, `${this.at}`);
  }

  step(r: Registers, escaped: Set<number>): void {
    if (this.isVector || this.map > 1) this.#others(r, WIDE_STORE);
    else if (this.map === 1) this.#afterEscape(r);
    else this.#oneByte(r, escaped);
  }

  follow(truth: Truth): Truth | null {
    const { map, opcode, reg, rm } = this;
    if (map === 1 && opcode === SETE && truth.register === null && truth.equal === true)
      return { register: rm, equal: null };
    if (map !== 0) return null;
    if ((opcode === 0x84 || opcode === 0x85) && reg === rm && rm === truth.register) return { ...truth, equal: false };
    if (opcode === LEA || opcode === 0x90) return truth;
    return (opcode === 0x8b || opcode === 0x89) && truth.register === null ? truth : null;
  }

  branchesOn({ equal }: Truth): boolean | null {
    const isEqual = (this.opcode & 15) === 4;
    if (this.flow !== 'branch' || equal === null || !(isEqual || (this.opcode & 15) === 5)) return null;
    return isEqual === equal;
  }

  #oneByte(r: Registers, escaped: Set<number>): void {
    const { opcode, reg, rm, isWide } = this;
    const place = `${this.at}`;
    switch (opcode) {
      case 0x8b:
        r.set(reg, !isWide ? null : rm >= 0 ? r.get(rm) : r.load(this.address(r), place));
        return;
      case 0x89:
        if (rm >= 0) r.set(rm, isWide ? r.get(reg) : null);
        else this.#store(r, isWide ? r.get(reg) : null, 8);
        return;
      case 0x8d:
        this.#take(r, escaped);
        return;
      case 0x81:
      case 0x83:
        this.#addImmediate(r);
        return;
      case 0x88:
      case 0xc6:
      case 0xc7:
        // Without REX, the numbers 4 to 7 of a byte are those of AH to BH.
        if (rm >= 0 && rm !== RSP) r.set(rm, null);
        if (rm >= 4 && rm < 8 && opcode !== 0xc7) r.set(rm - 4, null);
        if (rm < 0) this.#store(r, null, 8);
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
        else this.#others(r, 8);
        return;
      default:
    }
    if ((opcode & 0xf8) === 0x50) push(r, r.get(reg));
    else if ((opcode & 0xf8) === 0x58) r.set(reg, pop(r, place));
    else if ((opcode & 0xf8) === 0xb8) r.set(reg, isWide || this.immediate >= 0 ? addressOf(this.immediate) : null);
    else if (opcode < 0x40) this.#arithmetic(r);
    else if (opcode === 0xc1 && rm >= 0 && isWide && (reg & 7) === 4)
      r.set(rm, multiplied(r.get(rm), 2 ** this.immediate));
    else if (opcode >= 0x70 && opcode < 0x80) return;
    else if (opcode >= 0xa4 && opcode <= 0xaf) this.#string(r);
    else if (opcode >= 0xf6 && opcode <= 0xf7) {
      if ((reg & 7) >= 4) this.#forget(r, [RAX, RDX]);
      else if ((reg & 7) >= 2) this.#others(r, 8);
    } else if ((opcode === 0x69 || opcode === 0x6b) && rm >= 0 && isWide)
      r.set(reg, multiplied(r.get(rm), this.immediate));
    else if (opcode === 0x69 || opcode === 0x6b || opcode === 0x63 || opcode === 0x8a) r.set(reg, null);
    else if (this.hasModrm) this.#others(r, 8);
    else this.#forget(r, [RAX, RCX, RDX, RBX]);
  }

  #afterEscape(r: Registers): void {
    const { opcode, reg, rm } = this;
    if (opcode >= 0x80 && opcode < 0x90) return;
    if (opcode >= 0x40 && opcode < 0x50) r.set(reg, null);
    else if (opcode >= 0x90 && opcode < 0xa0) {
      if (rm >= 0) r.set(rm, null);
      else this.#store(r, null, 8);
    } else if (opcode === 0xa2) this.#forget(r, [RAX, RCX, RDX, RBX]);
    else if (opcode === 0xb6 || opcode === 0xb7 || opcode === 0xbe || opcode === 0xbf || opcode === 0xaf)
      r.set(reg, null);
    else if (opcode === 0xbc || opcode === 0xbd || opcode === 0xb8) r.set(reg, null);
    else if (opcode === 0xb0 || opcode === 0xb1) {
      r.set(RAX, null);
      this.#others(r, 8);
    } else if (opcode === 0xa3 || opcode === 0x0d || (opcode >= 0x18 && opcode <= 0x1f)) return;
    else if (opcode >= 0xc8 && opcode < 0xd0)
      this.#forget(
        r,
        Array.from({ length: REGISTERS }, (_, n) => n).filter((n) => n !== RSP && n !== RBP),
      );
    else if (isVectorLoad(opcode)) return;
    else if (rm < 0 && isVectorStore(opcode)) this.#store(r, null, 16);
    else if (opcode === 0x05) this.#forget(r, [RAX, RCX, 11]);
    else if (opcode === 0x31 || opcode === 0x01) this.#forget(r, [RAX, RCX, RDX]);
    else this.#others(r, 16);
  }

  /** Add, or, adc, sbb, and, sub, xor, cmp of registers and memory; of immediates with RAX. */
  #arithmetic(r: Registers): void {
    const kind = this.opcode >>> 3;
    if (kind === 7) return;
    const form = this.opcode & 7;
    // ADD of registers; XOR of one with itself, which is 0.
    const from = form === 1 ? this.reg : this.rm;
    const to = form === 1 ? this.rm : this.reg;
    const isOfRegisters = (form === 1 || form === 3) && this.rm >= 0;
    if (isOfRegisters && kind === 6 && from === to) r.set(to, addressOf(0));
    else if (isOfRegisters && kind === 0 && this.isWide) r.set(to, summed(r.get(to), r.get(from), 1));
    else if (form === 5 && this.isWide) this.#add(r, RAX, kind);
    else if (form >= 4) r.set(RAX, null);
    else if (form >= 2) r.set(this.reg, null);
    else if (this.rm >= 0) r.set(this.rm, null);
    else this.#store(r, null, 8);
  }

  #addImmediate(r: Registers): void {
    const kind = this.reg & 7;
    if (kind === 7) return;
    if (this.rm < 0) {
      this.#store(r, null, 8);
      return;
    }
    if (this.isWide) this.#add(r, this.rm, kind);
    else r.set(this.rm, null);
  }

  /** Adds or subtracts the immediate; `kind` is that of an instruction. */
  #add(r: Registers, register: number, kind: number): void {
    const value = r.get(register);
    const isSum = value !== null && (kind === 0 || kind === 5);
    r.set(register, isSum ? shifted(value, kind === 0 ? this.immediate : -this.immediate) : null);
  }

  #take(r: Registers, escaped: Set<number>): void {
    const at = this.address(r);
    // The stack pointer itself moves by lea, too.
    if (at?.origin.kind === 'frame' && this.reg !== RSP && this.reg !== RBP) escaped.add(at.offset);
    r.set(this.reg, this.isWide ? at : null);
  }

  #string(r: Registers): void {
    const to = r.get(RDI);
    if (to?.origin.kind === 'frame') r.forget(to.offset, to.offset + STRING_STORE);
    this.#forget(r, [RAX, RCX, RSI, RDI]);
  }

  /** An instruction that may change any of its operands. */
  #others(r: Registers, bytes: number): void {
    if (!this.hasModrm) return;
    // Where an opcode has no second operand, or one in a vector register, the number is not that of a general register.
    if (this.reg !== RSP && !(this.map === 0 && EXTENDED.has(this.opcode))) r.set(this.reg, null);
    if (this.rm < 0) this.#store(r, null, bytes);
    else if (this.rm !== RSP || (this.map === 0 && !this.isVector)) r.set(this.rm, null);
  }

  #store(r: Registers, value: Value | null, bytes: number): void {
    const at = this.address(r);
    if (at !== null) r.storeAt(at, value, bytes);
    else r.storeFrom(this.base < 0 ? null : r.get(this.base), this.displacement);
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

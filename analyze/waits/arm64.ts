import { Arm64Memory } from './arm64-memory.js';
import { INSTRUCTION, NONE, R0, signed, SP } from './arm64-operands.js';

/** Decodes machine code of arm64 (Arm Architecture Reference Manual, C4.1), as far as {@link Arm64Operands} tells of it. */
export class Arm64Decoder extends Arm64Memory {
  /** Where the code begins. */
  readonly #entry: number;

  constructor(entry: number) {
    super();
    this.#entry = entry;
  }

  /** Decodes the instruction at an offset. Returns false for bytes that are none, or none that is known. */
  decode(code: DataView, at: number): boolean {
    if (at + INSTRUCTION > code.byteLength) return false;
    const word = code.getUint32(at, true);
    this.reset(at, word);
    switch ((word >>> 25) & 15) {
      case 0:
        this.flow = 'trap';
        return word >>> 16 === 0;
      case 8:
      case 9:
        return this.#immediates(code, word);
      case 10:
      case 11:
        return this.#branches(code, word);
      case 4:
      case 6:
      case 12:
      case 14:
        return this.decodeMemory(code, word);
      case 5:
      case 13:
        return this.#registers(word);
      case 7:
      case 15:
        return this.#vectors(word);
      default:
        return false;
    }
  }

  /** Data processing with an immediate (C4.1.93). */
  #immediates(code: DataView, word: number): boolean {
    const rn = (word >>> 5) & 31;
    const setsFlags = ((word >>> 29) & 1) === 1;
    switch ((word >>> 23) & 7) {
      case 0:
      case 1: {
        const distance = signed((((word >>> 5) & 0x7ffff) << 2) | ((word >>> 29) & 3), 21);
        const pc = this.#entry + this.at;
        this.toRegister(word & 31, false);
        this.operation = 'constant';
        this.immediate = this.isWide ? pc - (pc % PAGE) + distance * PAGE : pc + distance;
        if (!this.isWide) this.named = this.immediate;
        this.isWide = true;
        return true;
      }
      case 2: {
        const value = ((word >>> 10) & 0xfff) * ((word & 0x400000) === 0 ? 1 : PAGE);
        this.operation = 'add';
        this.immediate = (word & 0x40000000) === 0 ? value : -value;
        this.rn = rn;
        this.setsFlags = setsFlags;
        this.toRegister(word & 31, !setsFlags);
        this.named = this.#pairedWithPage(code);
        return true;
      }
      case 4: {
        const value = rn === SP && ((word >>> 29) & 3) === 1 ? maskOf(word) : null;
        this.setsFlags = ((word >>> 29) & 3) === 3;
        this.toRegister(word & 31, !this.setsFlags);
        if (value === null) return true;
        this.operation = 'constant';
        this.immediate = value;
        return true;
      }
      case 5: {
        const kind = (word >>> 29) & 3;
        const value = (word >>> 5) & 0xffff;
        this.shift = 16 * ((word >>> 21) & 3);
        this.toRegister(word & 31, false);
        this.operation = kind === 3 ? 'keep' : 'constant';
        this.immediate = kind === 0 ? -value * 2 ** this.shift - 1 : kind === 2 ? value * 2 ** this.shift : value;
        return kind !== 1;
      }
      case 6: {
        // LSL: UBFM of a whole register.
        const shift = 63 - ((word >>> 10) & 63);
        const isShift = (word & 0xffc00000) >>> 0 === 0xd3400000 && ((word >>> 16) & 63) === (64 - shift) % 64;
        this.toRegister(word & 31, false);
        if (!isShift || shift > MAX_SHIFT) return true;
        this.operation = 'multiply';
        this.rn = rn === SP ? NONE : rn;
        this.immediate = 2 ** shift;
        return true;
      }
      default:
        this.toRegister(word & 31, false);
        return true;
    }
  }

  /** Of an addition to what ADRP computed right before: the whole address. */
  #pairedWithPage(code: DataView): number | null {
    if (this.at < INSTRUCTION || this.setsFlags) return null;
    const before = code.getUint32(this.at - INSTRUCTION, true);
    if ((before & 0x9f000000) >>> 0 !== 0x90000000 || (before & 31) !== this.rn) return null;
    const pc = this.#entry + this.at - INSTRUCTION;
    const pages = signed((((before >>> 5) & 0x7ffff) << 2) | ((before >>> 29) & 3), 21);
    return pc - (pc % PAGE) + pages * PAGE + this.immediate;
  }

  /** Branches, exceptions and system instructions (C4.1.94). */
  #branches(code: DataView, word: number): boolean {
    if ((word & 0x7c000000) === 0x14000000) {
      this.flow = this.isWide ? 'call' : 'jump';
      this.#to(word, 0, 26);
    } else if ((word & 0x7e000000) === 0x34000000) {
      this.flow = 'branch';
      this.rd = word & 31;
      this.#to(word, 5, 19);
    } else if ((word & 0x7e000000) === 0x36000000) {
      this.flow = 'branch';
      this.rd = word & 31;
      this.#to(word, 5, 14);
    } else if ((word & 0xff000000) >>> 0 === 0x54000000) {
      // One whose condition is `always` is a jump.
      this.flow = (word & 15) >= 14 ? 'jump' : 'branch';
      this.#to(word, 5, 19);
    } else if ((word & 0xfe000000) >>> 0 === 0xd6000000) {
      const kind = (word >>> 21) & 7;
      if (kind > 2) return false;
      this.rn = (word >>> 5) & 31;
      this.flow = kind === 0 ? 'jump-indirect' : kind === 1 ? 'call-indirect' : 'return';
      this.isTableJump = kind === 0 && this.#isFromTable(code, (word >>> 5) & 31);
    } else if ((word & 0xff000000) >>> 0 === 0xd4000000) {
      // SVC goes on behind the kernel's work, whose result is in R0.
      if ((word & 0x00e0001f) === 1) this.toRegister(R0, false);
      else this.flow = 'trap';
    } else if ((word & 0xffc00000) >>> 0 === 0xd5000000) {
      if (((word >>> 21) & 1) === 1) this.toRegister(word & 31, false);
    } else return false;
    return true;
  }

  #to(word: number, from: number, bits: number): void {
    this.target = this.at + INSTRUCTION * signed((word >>> from) & (2 ** bits - 1), bits);
  }

  /** Whether a register was loaded right before from a table of addresses, by an index. */
  #isFromTable(code: DataView, register: number): boolean {
    const before = this.at < INSTRUCTION ? 0 : code.getUint32(this.at - INSTRUCTION, true);
    return (before & 0xffe0fc00) >>> 0 === 0xf8607800 && (before & 31) === register;
  }

  /** Data processing with registers (C4.1.95). */
  #registers(word: number): boolean {
    const [rm, rn, rd] = [(word >>> 16) & 31, (word >>> 5) & 31, word & 31];
    const group = (word >>> 24) & 31;
    const isFlagged = ((word >>> 29) & 1) === 1;
    this.rm = rm;
    this.rn = rn;
    if (group === 10) {
      this.setsFlags = ((word >>> 29) & 3) === 3;
      this.toRegister(rd, false);
      if (((word >>> 29) & 3) === 1 && (word & 0x00e0ffe0) === 0x000003e0) this.operation = 'move';
    } else if (group === 11) {
      const isExtended = (word & 0x00200000) !== 0;
      this.setsFlags = isFlagged;
      this.toRegister(rd, isExtended && !isFlagged);
      // Only sums with a shift to the left are followed; UXTX, of an extended one, is no shift.
      const isPlain = isExtended
        ? (word & 0xfc00) === 0x6000
        : (word & 0x00c00000) === 0 && ((word >>> 10) & 63) <= MAX_SHIFT;
      if (isPlain && !isExtended) this.times = 2 ** ((word >>> 10) & 63);
      if (isPlain) this.operation = (word & 0x40000000) === 0 ? 'add-register' : 'subtract-register';
      if (!isExtended && rn === SP) this.rn = NONE;
    } else if (group === 26 && ((word >>> 21) & 7) === 2) {
      // A conditional comparison.
      this.setsFlags = true;
    } else {
      this.setsFlags = group === 26 && ((word >>> 21) & 7) === 0 && isFlagged;
      this.toRegister(rd, false);
    }
    return true;
  }

  /** Data processing of vectors and floating point (C4.1.97), which changes general registers by conversions and moves. */
  #vectors(word: number): boolean {
    const isConversion = (word & 0x7f20fc00) === 0x1e200000 || (word & 0x7f200000) === 0x1e000000;
    const kind = (word >>> 16) & 7;
    const isToVector = kind === 2 || kind === 3 || kind === 7;
    const isMove = (word & 0xbfe0fc00) === 0x0e003c00 || (word & 0xbfe0fc00) === 0x0e002c00;
    if ((isConversion && !isToVector) || isMove) this.toRegister(word & 31, false);
    // FCMP and FCCMP.
    this.setsFlags = (word & 0xff203c00) === 0x1e202000 || (word & 0xff200c00) === 0x1e200400;
    return true;
  }
}

const PAGE = 4096;
/** Shifts of sizes and indexes. */
const MAX_SHIFT = 32;

/** The constant of a logical instruction (DecodeBitMasks), as far as it is a small number. */
function maskOf(word: number): number | null {
  const [n, immr, imms] = [(word >>> 22) & 1, (word >>> 16) & 63, (word >>> 10) & 63];
  const isWide = word >>> 31 === 1;
  // Those whose pattern is repeated are no small numbers.
  if (isWide ? n === 0 : n !== 0 || imms >= 32) return null;
  const width = isWide ? 64 : 32;
  const ones = (imms & (width - 1)) + 1;
  const low = (width - immr) % width;
  return low + ones <= 52 ? (2 ** ones - 1) * 2 ** low : null;
}

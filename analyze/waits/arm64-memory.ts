import { Arm64Operands, bit, INSTRUCTION, NONE, signed, SP } from './arm64-operands.js';

/** Instructions between an exclusive load and the store of what it becomes. */
const MAX_LOOP = 3;

/**
 * Decodes loads and stores of arm64 (Arm Architecture Reference Manual, C4.1.96). A loop from an exclusive load to a conditional
 * store of the same word counts as one instruction, and so does a compare-and-swap with the comparison that tells whether it
 * took place.
 */
export class Arm64Memory extends Arm64Operands {
  /** Returns false for bytes that are none, or none that is known. */
  protected decodeMemory(code: DataView, word: number): boolean {
    const isVector = ((word >>> 26) & 1) === 1;
    const size = word >>> 30;
    this.base = (word >>> 5) & 31;
    this.isWide = false;
    switch ((word >>> 27) & 7) {
      case 1:
        return isVector ? this.#structures(word) : this.#exclusive(code, word, size);
      case 3: {
        if ((word & 0x01000000) !== 0) return false;
        this.base = NONE;
        if (isVector || size === 3) return true;
        this.toRegister(word & 31, false);
        const at = this.at + INSTRUCTION * signed((word >>> 5) & 0x7ffff, 19);
        if (size !== 1 || at < 0 || at + 8 > code.byteLength) return true;
        this.operation = 'constant';
        this.immediate = code.getUint32(at, true) + code.getUint32(at + 4, true) * 2 ** 32;
        return true;
      }
      case 5:
        return this.#pair(word, size, isVector);
      case 7:
        return (word & 0x01000000) !== 0
          ? this.#single(word, size, isVector, ((word >>> 10) & 0xfff) * scaleOf(word, size, isVector))
          : this.#unscaled(word, size, isVector);
      default:
        return false;
    }
  }

  /** LD1 to LD4 and ST1 to ST4, of up to four vectors. */
  #structures(word: number): boolean {
    const isAdvanced = (word & 0x00800000) !== 0;
    this.bytes = 64;
    this.operation = (word & 0x00400000) === 0 ? 'store' : 'other';
    if (isAdvanced) this.changed |= bit(this.base);
    return true;
  }

  #pair(word: number, size: number, isVector: boolean): boolean {
    const mode = (word >>> 23) & 3;
    const scale = isVector ? 4 * 2 ** size : size === 2 ? 8 : 4;
    if (size === 3) return false;
    const offset = signed((word >>> 15) & 0x7f, 7) * scale;
    this.displacement = mode === 1 ? 0 : offset;
    this.writeBack = mode === 1 || mode === 3 ? offset : 0;
    this.bytes = 2 * scale;
    this.isWide = !isVector && size === 2;
    this.#moved(word, isVector, (word & 0x00400000) !== 0, (word >>> 10) & 31);
    return true;
  }

  #single(word: number, size: number, isVector: boolean, displacement: number): boolean {
    const kind = (word >>> 22) & 3;
    this.displacement = displacement;
    this.bytes = scaleOf(word, size, isVector);
    this.isWide = !isVector && size === 3;
    // PRFM fetches ahead.
    if (!isVector && size === 3 && kind >= 2) this.bytes = 0;
    else this.#moved(word, isVector, isVector ? (kind & 1) === 1 : kind !== 0, NONE);
    return true;
  }

  #unscaled(word: number, size: number, isVector: boolean): boolean {
    const mode = (word >>> 10) & 3;
    if ((word & 0x00200000) === 0) {
      const offset = signed((word >>> 12) & 0x1ff, 9);
      this.writeBack = mode === 1 || mode === 3 ? offset : 0;
      return this.#single(word, size, isVector, mode === 1 ? 0 : offset);
    }
    if (mode === 2) {
      this.hasIndex = true;
      if (((word >>> 13) & 7) === 3) this.index = (word >>> 16) & 31;
      if (((word >>> 12) & 1) === 1) this.times = scaleOf(word, size, isVector);
      return this.#single(word, size, isVector, 0);
    }
    return mode === 0 && !isVector && this.#atomics(word, size);
  }

  /** LDADD and its like. */
  #atomics(word: number, size: number): boolean {
    const kind = (word >>> 12) & 15;
    this.bytes = 2 ** size;
    this.toRegister(word & 31, false);
    // LDAPR only loads.
    if (kind === 12) return true;
    if (kind > 8) return false;
    this.operation = 'store';
    this.rd = NONE;
    this.atomic = kind === 0 ? 'add' : 'other';
    this.added = (word >>> 16) & 31;
    return true;
  }

  /** Loads and stores that are exclusive, or ordered, and compare-and-swap. */
  #exclusive(code: DataView, word: number, size: number): boolean {
    const isPair = (word & 0x00200000) !== 0;
    const isLoad = (word & 0x00400000) !== 0;
    const isOrdered = (word & 0x00800000) !== 0;
    const [rs, rt2, rt] = [(word >>> 16) & 31, (word >>> 10) & 31, word & 31];
    if ((word & 0x01000000) !== 0 || (isPair && !isOrdered && size < 2)) return false;
    this.bytes = isPair && !isOrdered ? 2 * 2 ** (size & 1) * 4 : 2 ** size;
    if (isOrdered && isPair) {
      this.operation = 'store';
      this.toRegister(rs, false);
      this.rd = NONE;
      this.atomic = 'compare';
      const next = this.end + INSTRUCTION <= code.byteLength ? code.getUint32(this.end, true) : 0;
      if (isCompare(next)) {
        this.end += INSTRUCTION;
        this.setsFlags = true;
      }
    } else if (isLoad) {
      this.toRegister(rt, false);
      if (isPair) this.changed |= bit(rt2);
      if (isOrdered) {
        this.operation = 'load';
        this.isWide = size === 3;
      } else this.#loop(code);
    } else {
      this.#moved(word, false, false, isPair && !isOrdered ? rt2 : NONE);
      this.isWide = size === 3;
      if (!isOrdered) this.changed |= bit(rs);
    }
    return true;
  }

  /** An exclusive load, up to the branch back to it that is taken where the store has failed. */
  #loop(code: DataView): void {
    const [base, first] = [this.base, this.changed];
    let changed = first;
    let [kind, added]: [Arm64Operands['atomic'], number] = ['other', NONE];
    for (let i = 1; i <= MAX_LOOP + 1; i++) {
      const at = this.at + INSTRUCTION * i;
      if (at + 2 * INSTRUCTION > code.byteLength) return;
      const word = code.getUint32(at, true);
      const back = code.getUint32(at + INSTRUCTION, true);
      if ((word & 0x3fe00000) === 0x08000000 && ((word >>> 5) & 31) === base) {
        const status = (word >>> 16) & 31;
        const isBack = (back & 0x7f000000) === 0x35000000 && (back & 31) === status;
        if (!isBack || signed((back >>> 5) & 0x7ffff, 19) !== -i - 1) return;
        this.end = at + 2 * INSTRUCTION;
        this.changed = changed | bit(status);
        this.atomic = kind;
        this.added = added;
        this.operation = 'store';
        this.rd = NONE;
        this.setsFlags = kind === 'compare';
        return;
      }
      if (isCompare(word)) kind = 'compare';
      else if ((word & 0xff000010) >>> 0 === 0x54000000) continue;
      else if ((word & 0x1f000000) === 0x0a000000 || (word & 0x1f000000) === 0x0b000000) {
        if ((word & 0x5f200000) === 0x0b000000) [kind, added] = ['add', (word >>> 16) & 31];
        changed |= bit(word & 31);
      } else return;
    }
  }

  /** What is loaded or stored, one or two registers. */
  #moved(word: number, isVector: boolean, isLoad: boolean, second: number): void {
    if (this.writeBack !== 0) this.changed |= bit(this.base);
    this.operation = isLoad ? 'load' : 'store';
    if (isVector) {
      if (isLoad) this.operation = 'other';
      return;
    }
    this.rd = word & 31;
    this.rd2 = second;
    if (isLoad) this.changed |= bit(this.rd === SP ? NONE : this.rd) | bit(second === SP ? NONE : second);
    if (this.rd === SP) this.rd = NONE;
    if (this.rd2 === SP) this.rd2 = NONE;
  }
}

/** SUBS of registers whose result is dropped. */
function isCompare(word: number): boolean {
  return (word & 0x7f20001f) === 0x6b00001f;
}

function scaleOf(word: number, size: number, isVector: boolean): number {
  return isVector && (word & 0x00800000) !== 0 ? 16 : 2 ** size;
}

import { FP, G, NONE, R0, R26, SP } from './arm64-operands.js';
import { Arm64Decoder } from './arm64.js';
import type { Registers } from './code-registers.js';
import { addressOf, multiplied, shifted, summed, type Value } from './code-values.js';
import type { Cpu, Instruction, Truth } from './instruction.js';

const REGISTERS = 32;
const WORD = 8;
/** A call of what is in a register, but for its number. */
const BLR = 0xd63f0000;
/** Conditions of branches and CSET: equal and not equal. */
const EQUAL = 0;
const NOT_EQUAL = 1;

/** Its code, and how Go's code uses it: arguments and results begin in R0, closures come in R26, R28 is the goroutine. */
export const ARM64: Cpu = {
  registers: REGISTERS,
  sp: SP,
  kept: [SP, FP, G],
  results: [R0, R0 + 1, R0 + 2, R0 + 3],
  first: R0,
  closure: R26,
  pushed: 0,
  // Its result, the linker's own register, and the link register.
  changedByBarrier: [25, 27, 30],
  *atomicsIn(code) {
    for (let at = 0; at + 4 <= code.byteLength; at += 4) {
      const word = code.getUint32(at, true);
      // LDXR and LDAXR, CAS, LDADD and its like.
      const isExclusive = (word & 0x3fe00000) === 0x08400000 || (word & 0x3fa00000) === 0x08a00000;
      if (isExclusive || (word & 0x3f200c00) === 0x38200000) yield at;
    }
  },
  mayCallIndirectly(code) {
    for (let at = 0; at + 4 <= code.byteLength; at += 4)
      if ((code.getUint32(at, true) & 0xfffffc1f) >>> 0 === BLR) return true;
    return false;
  },
  instruction: (entry) => new Arm64Instruction(entry),
};

/** Follows values through instructions of arm64. */
class Arm64Instruction extends Arm64Decoder implements Instruction {
  address(r: Registers): Value | null {
    const base = this.base < 0 ? null : r.get(this.base);
    const at = this.hasIndex ? summed(base, this.#register(r, this.index), this.times) : base;
    return at === null ? null : shifted(at, this.displacement);
  }

  callee(r: Registers): Value | null {
    return r.get(this.rn);
  }

  step(r: Registers, escaped: Set<number>): void {
    const at = this.address(r);
    const base = this.base < 0 ? null : r.get(this.base);
    const value = this.#result(r, at);
    const second =
      this.operation === 'load' && at !== null && this.rd2 >= 0 ? this.#loaded(r, shifted(at, WORD), 1) : null;
    if (this.operation === 'store') this.#store(r, at, base);
    for (let i = 0; i < REGISTERS; i++) if (((this.changed >>> i) & 1) === 1) r.set(i, null);
    if (this.writeBack !== 0 && base !== null) r.set(this.base, shifted(base, this.writeBack));
    if (value !== null && this.rd !== NONE) {
      // The stack and the frame pointer move by additions, too.
      if (this.operation === 'add' && value.origin.kind === 'frame' && this.rd !== SP && this.rd !== FP)
        escaped.add(value.offset);
      r.set(this.rd, value);
    }
    if (second !== null) r.set(this.rd2, second);
  }

  follow(truth: Truth): Truth | null {
    const { word } = this;
    // CSET: CSINC of no registers under the opposite condition.
    if ((word & 0x7fff0fe0) === 0x1a9f07e0 && truth.equal !== null && truth.register === null) {
      const condition = (word >>> 12) & 15;
      const isKnown = condition <= NOT_EQUAL && (condition === NOT_EQUAL) === truth.equal;
      return isKnown ? { register: word & 31, equal: null } : null;
    }
    const { register } = truth;
    // A comparison with 0: SUBS of an immediate, into no register.
    const isComparison = (word & 0x7f80001f) === 0x7100001f;
    if (isComparison && this.immediate === 0 && this.rn === register) return { register, equal: false };
    const isInRegister = register !== null && ((this.changed >>> register) & 1) === 0;
    const equal = this.setsFlags ? null : truth.equal;
    if (this.flow !== 'next' || (!isInRegister && equal === null)) return null;
    return { register: isInRegister ? register : null, equal };
  }

  branchesOn({ register, equal }: Truth): boolean | null {
    const { word } = this;
    if (this.flow !== 'branch') return null;
    if ((word & 0xff000000) >>> 0 === 0x54000000) {
      const condition = word & 15;
      return equal === null || condition > NOT_EQUAL ? null : (condition === EQUAL) === equal;
    }
    // CBZ and TBZ of the lowest bit, and their opposites.
    const isBit = (word & 0x7e000000) === 0x36000000;
    if (register !== this.rd || (isBit && (word & 0x80f80000) !== 0)) return null;
    return (word & 0x01000000) !== 0;
  }

  /** What the first register that changes becomes, as far as that is known. */
  #result(r: Registers, at: Value | null): Value | null {
    const value = this.rn < 0 ? null : r.get(this.rn);
    if (!this.isWide) return this.operation === 'constant' && this.immediate >= 0 ? addressOf(this.immediate) : null;
    switch (this.operation) {
      case 'constant':
        return addressOf(this.immediate);
      case 'keep':
        return this.#kept(r.get(this.rd));
      case 'add':
        return value === null ? null : shifted(value, this.immediate);
      case 'move':
        return this.rm === SP ? null : r.get(this.rm);
      case 'add-register':
      case 'subtract-register': {
        const number = this.#register(r, this.rm);
        if (this.operation === 'subtract-register' && number?.origin.kind !== 'address') return null;
        return summed(value, number, this.operation === 'add-register' ? this.times : -this.times);
      }
      case 'multiply':
        return multiplied(value, this.immediate);
      case 'load':
        return at === null ? null : this.#loaded(r, at, 0);
      default:
        return null;
    }
  }

  #register(r: Registers, register: number): Value | null {
    return register < 0 || register === SP ? null : r.get(register);
  }

  /** MOVK: a constant whose bits at {@link shift} become others. */
  #kept(before: Value | null): Value | null {
    if (before?.origin.kind !== 'address' || before.offset < 0) return null;
    const unit = 2 ** this.shift;
    const old = Math.floor(before.offset / unit) % 2 ** 16;
    const value = before.offset + (this.immediate - old) * unit;
    return Number.isSafeInteger(value) ? addressOf(value) : null;
  }

  #loaded(r: Registers, at: Value, index: number): Value | null {
    return this.isWide ? r.load(at, `${this.at}.${index}`) : null;
  }

  #store(r: Registers, at: Value | null, base: Value | null): void {
    if (at === null) {
      r.storeFrom(base, this.displacement);
      return;
    }
    const stored = (register: number): Value | null => (register < 0 || this.atomic !== null ? null : r.get(register));
    if (!this.isWide) {
      r.storeAt(at, null, this.bytes);
      return;
    }
    r.storeAt(at, stored(this.rd), WORD);
    if (this.bytes > WORD) r.storeAt(shifted(at, WORD), stored(this.rd2), WORD);
  }
}

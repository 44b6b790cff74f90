import {
  argumentAtEntry,
  inFrame,
  isSame,
  loadedFrom,
  registerAtEntry,
  unknownFrom,
  type Origin,
  type Value,
} from './code-values.js';

/** Words of arguments on the stack that are told apart. */
const ARGUMENTS = 16;
const WORD = 8;
/** Bytes that a run of stores changes, or one of an element of an array. */
export const STRING_STORE = 4096;

/** How code of a CPU uses its registers. */
export interface RegisterUse {
  /** How many there are. */
  readonly registers: number;
  /** The stack pointer. */
  readonly sp: number;
  /** Those that a call leaves as they are. */
  readonly kept: readonly number[];
  /** Those in which a call returns its first results, in order. */
  readonly results: readonly number[];
  /** Bytes by which a call moves the stack pointer before the callee's first instruction. */
  readonly pushed: number;
}

/** What general registers and the words of a frame hold at one place in the code, as far as that is known. */
export class Registers {
  readonly #use: RegisterUse;
  readonly #registers: (Value | null)[];
  /** By offset from the stack pointer at the function's entry: whole words. */
  #slots: Map<number, Value>;
  /** True where a copy has the same map. */
  #sharesSlots = false;

  private constructor(use: RegisterUse, registers: (Value | null)[], slots: Map<number, Value>) {
    this.#use = use;
    this.#registers = registers;
    this.#slots = slots;
  }

  /** Those at the entry of a function. */
  static atEntry(use: RegisterUse): Registers {
    const registers = Array.from({ length: use.registers }, (_, i) => (i === use.sp ? inFrame(0) : registerAtEntry(i)));
    const slots = new Map<number, Value>();
    for (let i = 1; i <= ARGUMENTS; i++) slots.set(8 * i, argumentAtEntry(8 * i));
    return new Registers(use, registers, slots);
  }

  copy(): Registers {
    const out = new Registers(this.#use, this.#registers.slice(), this.#slots);
    out.#sharesSlots = this.#sharesSlots = true;
    return out;
  }

  get(register: number): Value | null {
    return this.#registers[register] ?? null;
  }

  set(register: number, value: Value | null): void {
    this.#registers[register] = value;
  }

  /** Bytes from the stack pointer at the function's entry to the stack pointer; null where that is not known. */
  get sp(): number | null {
    const sp = this.get(this.#use.sp);
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
    this.forget(offset, offset + WORD);
    // No pointer lies between two words.
    if (value !== null && offset % WORD === 0) this.#ownSlots().set(offset, value);
  }

  /** Forgets the words of the frame that lie in part between two offsets. */
  forget(from: number, to: number): void {
    const first = Math.floor(from / WORD);
    const words = Math.ceil(to / WORD) - first;
    // A frame may have hundreds of words, and most stores change one.
    if (words < this.#slots.size) for (let i = 0; i < words; i++) this.#forgetWord(WORD * (first + i));
    else for (const at of this.#slots.keys()) if (at + WORD > from && at < to) this.#forgetWord(at);
  }

  #forgetWord(offset: number): void {
    if (this.#slots.has(offset)) this.#ownSlots().delete(offset);
  }

  #ownSlots(): Map<number, Value> {
    if (this.#sharesSlots) this.#slots = new Map(this.#slots);
    this.#sharesSlots = false;
    return this.#slots;
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

  /** The word at an offset from the stack pointer at the entry of a callee; `isCall` is false for a jump to it. */
  argument(offset: number, isCall: boolean): Value | null {
    const { sp } = this;
    return sp === null ? null : this.slot((isCall ? sp - this.#use.pushed : sp) + offset);
  }

  /** Stores a value at an address, or forgets that many bytes there. */
  storeAt(at: Value, value: Value | null, bytes: number): void {
    if (at.origin.kind === 'sum' && isInFrame(at.origin)) this.forget(at.offset, at.offset + STRING_STORE);
    if (at.origin.kind !== 'frame') return;
    if (bytes === WORD) this.store(at.offset, value);
    else this.forget(at.offset, at.offset + bytes);
  }

  /** Forgets what a store changes in an array of which only is known where it begins. */
  storeFrom(base: Value | null, displacement: number): void {
    if (base?.origin.kind !== 'frame') return;
    this.forget(base.offset + displacement, base.offset + displacement + STRING_STORE);
  }

  /**
   * What holds here if control may also come with `other`. What differs gets a name by the place, so that it stays one value
   * from there on. Returns null if nothing changes by it.
   */
  joined(other: Registers, place: string): Registers | null {
    let out: Registers | null = null;
    for (let i = 0; i < this.#use.registers; i++) {
      const value = this.get(i);
      const met = meet(value, other.get(i), place, 'r', i);
      if (met !== value) (out ??= this.copy()).set(i, met);
    }
    for (const [offset, value] of this.#slots) {
      const met = meet(value, other.slot(offset), place, 's', offset);
      if (met !== value) (out ??= this.copy()).store(offset, met);
    }
    return out;
  }

  /**
   * What a call leaves. It may change the variables whose address was taken: those that hold pointers are `changed`. `arguments_`
   * are bytes of arguments and results on the stack that are the callee's to change. Results in registers get names by the place of
   * the call.
   */
  call(escaped: ReadonlySet<number>, changed: readonly FrameRange[], arguments_: number, place: string): void {
    const { sp } = this;
    const { registers, kept, pushed, results } = this.#use;
    for (let i = 0; i < registers; i++)
      if (!kept.includes(i)) this.set(i, results.includes(i) ? resultOf(place, i) : null);
    if (sp !== null) this.forget(sp, Math.min(0, sp - pushed + WORD + arguments_));
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

/** What a call at a place returns in a register, or in a word of the stack. */
export function resultOf(place: string, at: number): Value {
  return unknownFrom(`result ${place} ${at}`);
}

/** Bytes of a frame, counted from the stack pointer at the function's entry. */
export interface FrameRange {
  readonly from: number;
  readonly to: number;
}

/** Whether an address is an element of an array in the frame: which, is not known. */
function isInFrame({ kind, base, index }: Origin): boolean {
  return kind === 'frame' || (kind === 'sum' && [base, index].some((part) => part !== null && isInFrame(part.origin)));
}

/** What a register or a slot is where two paths meet: one of those values, or one that has its name from the place. */
function meet(a: Value | null, b: Value | null, place: string, kind: 'r' | 's', number: number): Value | null {
  if (a === b || a === null) return a;
  if (b === null) return null;
  if (isSame(a, b)) return a;
  const name = `${place} ${kind}${number}`;
  return a.origin.key === `unknown ${name}` ? a : unknownFrom(name);
}

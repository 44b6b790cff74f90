import type { Addr } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';

/** Registers at a step, as numbers. */
export interface At {
  readonly pc: number;
  readonly sp: number;
}

interface Entry {
  readonly pc: number;
  /** Where on its stack it was pushed. */
  readonly slot: number;
  /** Whether that is the goroutine's own stack; all others are told apart by none of this. */
  readonly stack: Stack;
  /** The code that a signal interrupted: no return address. */
  readonly signal: At | null;
}

type Stack = 'goroutine' | 'signal' | 'system';

/** Bounds of the stacks that are told apart. */
export interface Bounds {
  readonly lo: number;
  readonly hi: number;
}

const SYSCALL = 0x0f05;
const RT_SIGRETURN = 15;

/**
 * Who called whom, from the calls and returns that a thread was seen to execute: no table and no unwinding. Follows
 * switches between stacks, since an entry is dead once the stack pointer has passed the place where it was pushed.
 */
export class ShadowStack {
  readonly #memory: Memory;
  readonly #goroutine: Bounds;
  readonly #signal: Bounds;
  #entries: Entry[] = [];

  /** `callers` are the return addresses at the start, innermost first, with the places that hold them. */
  constructor(memory: Memory, goroutine: Bounds, signal: Bounds, callers: readonly { pc: number; slot: number }[]) {
    this.#memory = memory;
    this.#goroutine = goroutine;
    this.#signal = signal;
    this.#entries = callers.map(({ pc, slot }): Entry => ({ pc, slot, stack: 'goroutine', signal: null })).reverse();
  }

  /** Return addresses and interrupted code, innermost first. */
  get callers(): readonly number[] {
    return this.#entries.map(({ pc }) => pc).reverse();
  }

  /** Whether the thread is in a signal handler. */
  get inSignal(): boolean {
    return this.#entries.some(({ signal }) => signal !== null);
  }

  /** Whether the instruction at `pc` is a call: to be asked before it is executed. */
  isCall(pc: number): boolean {
    const at = pc as Addr;
    const first = this.#memory.u8(at);
    if (first === 0xe8) return true;
    const rex = first >= 0x40 && first <= 0x4f ? 1 : 0;
    return this.#memory.u8(at, rex) === 0xff && ((this.#memory.u8(at, rex + 1) >> 3) & 7) === 2;
  }

  /** Whether the instruction at `pc` gives the control back to what a signal interrupted. */
  isSignalReturn(pc: number, rax: bigint): boolean {
    const code = this.#memory.u8(pc as Addr) * 256 + this.#memory.u8(pc as Addr, 1);
    return code === SYSCALL && rax === BigInt(RT_SIGRETURN) && this.inSignal;
  }

  /** After a call. */
  called({ sp }: At): void {
    this.#entries.push({
      pc: this.#memory.ptr(sp as Addr),
      slot: sp,
      stack: this.#stackOf(sp),
      signal: null,
    });
  }

  /** After a signal's handler was entered, with the registers before. */
  interrupted(before: At, { sp }: At): void {
    this.#entries.push({ pc: before.pc, slot: sp, stack: this.#stackOf(sp), signal: before });
  }

  /** After the return from a handler: where it made the interrupted code call something, that is a call. */
  returnedFromSignal(at: At): void {
    const index = this.#entries.findLastIndex(({ signal }) => signal !== null);
    const before = this.#entries[index]?.signal;
    if (before === null || before === undefined) throw new Error('no handler was entered');
    this.#entries.length = index;
    if (at.pc !== before.pc && at.sp === before.sp - 8) this.called(at);
    this.moved(at);
  }

  /** After any instruction. */
  moved({ sp }: At): void {
    const stack = this.#stackOf(sp);
    const dead = this.#entries.findIndex((entry) => entry.stack === stack && entry.slot < sp && entry.signal === null);
    if (dead >= 0) this.#entries.length = dead;
  }

  #stackOf(sp: number): Stack {
    const within = ({ lo, hi }: Bounds): boolean => sp > lo && sp <= hi;
    return within(this.#goroutine) ? 'goroutine' : within(this.#signal) ? 'signal' : 'system';
  }
}

import type { Addr } from '../../snapshots/address.js';
import type { Memory } from '../../snapshots/memory.js';

/** Registers before a step, as numbers. */
export interface At {
  readonly pc: number;
  readonly sp: number;
}

interface Entry {
  readonly pc: number;
  /** Stack address that it was pushed to. */
  readonly slot: number;
  /** Whether that is the goroutine's own stack. */
  readonly stack: Stack;
  /** Set if this is code that a signal interrupted, and not a return address. */
  readonly signal: At | null;
}

type Stack = 'goroutine' | 'signal' | 'system';

/** Bounds of the stacks. */
export interface Bounds {
  readonly lo: number;
  readonly hi: number;
}

const SYSCALL = 0x0f05;
const RT_SIGRETURN = 15;

/**
 * The callers of a thread, from the calls and returns that it was seen to execute, without tables or unwinding. It follows
 * switches between stacks: an entry ends once the stack pointer has passed the address that it was pushed to.
 */
export class ShadowStack {
  readonly #memory: Memory;
  readonly #goroutine: Bounds;
  readonly #signal: Bounds;
  #entries: Entry[] = [];

  /** `callers` are the return addresses at the start, innermost first, with their stack addresses. */
  constructor(memory: Memory, goroutine: Bounds, signal: Bounds, callers: readonly { pc: number; slot: number }[]) {
    this.#memory = memory;
    this.#goroutine = goroutine;
    this.#signal = signal;
    this.#entries = callers.map(({ pc, slot }): Entry => ({ pc, slot, stack: 'goroutine', signal: null })).reverse();
  }

  /** Returns the return addresses and interrupted code, innermost first. */
  get callers(): readonly number[] {
    return this.#entries.map(({ pc }) => pc).reverse();
  }

  /** Whether the thread is in a signal handler. */
  get inSignal(): boolean {
    return this.#entries.some(({ signal }) => signal !== null);
  }

  /** Returns whether the instruction at `pc`, which is executed next, is a call. */
  isCall(pc: number): boolean {
    const at = pc as Addr;
    const first = this.#memory.u8(at);
    if (first === 0xe8) return true;
    const rex = first >= 0x40 && first <= 0x4f ? 1 : 0;
    return this.#memory.u8(at, rex) === 0xff && ((this.#memory.u8(at, rex + 1) >> 3) & 7) === 2;
  }

  /** Returns whether the instruction at `pc` returns to what a signal interrupted. */
  isSignalReturn(pc: number, rax: bigint): boolean {
    const code = this.#memory.u8(pc as Addr) * 256 + this.#memory.u8(pc as Addr, 1);
    return code === SYSCALL && rax === BigInt(RT_SIGRETURN) && this.inSignal;
  }

  /** Call this after a call instruction. */
  called({ sp }: At): void {
    this.#entries.push({
      pc: this.#memory.ptr(sp as Addr),
      slot: sp,
      stack: this.#stackOf(sp),
      signal: null,
    });
  }

  /** Call this after the entry of a signal handler, with the registers before it. */
  interrupted(before: At, { sp }: At): void {
    this.#entries.push({ pc: before.pc, slot: sp, stack: this.#stackOf(sp), signal: before });
  }

  /** Call this after the return from a handler. If the handler made the interrupted code call something, that is a call. */
  returnedFromSignal(at: At): void {
    const index = this.#entries.findLastIndex(({ signal }) => signal !== null);
    const before = this.#entries[index]?.signal;
    if (before === null || before === undefined) throw new Error('no handler was entered');
    this.#entries.length = index;
    if (at.pc !== before.pc && at.sp === before.sp - 8) this.called(at);
    this.moved(at);
  }

  /** Call this after every instruction. */
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

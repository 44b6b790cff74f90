import { ADDR_LIMIT } from '../../snapshots/address.js';
import type { CodeIndex } from './code-index.js';
import type { StackMemory } from './stack-memory.js';
import type { PhysicalFrame, Position } from './step.js';
import { isOnStack, type UnwindStart, type UserStack } from './unwind-start.js';

/**
 * The frames of which nearly every stack consists, in one loop that makes nothing but the frames: Go functions without a
 * rule of their own, on the goroutine's stack, whose return address is where the table of frame sizes says. It takes the
 * same steps as UnwindRules with the rule `return-address`, and leaves every other one to it.
 */
export class OrdinaryFrames {
  readonly #memory: StackMemory;
  readonly #code: CodeIndex;
  /** Bytes of the return address that a call pushes; 0 where the function stores it at its stack pointer. */
  readonly #pushed: number;

  constructor(memory: StackMemory, code: CodeIndex, pushed: number) {
    this.#memory = memory;
    this.#code = code;
    this.#pushed = pushed;
  }

  /**
   * Adds the frames from `at` on up to the first that is not ordinary, or until there are `limit`. Returns where the walk
   * goes on. Throws MemoryFault where the function table is absent.
   */
  follow(user: UserStack, at: Position, frames: PhysicalFrame[], limit: number): Position {
    if (at.trap || at.lr !== 0) return at;
    let { pc, sp } = at;
    let point = this.#code.at(pc);
    while (frames.length < limit && point !== null && isOnStack(user, sp)) {
      const size = point.ordinarySize;
      const fp = sp + size + this.#pushed;
      if (size < 0 || fp <= sp || !isOnStack(user, fp)) break;
      const caller = this.#memory.wordIfKnown(this.#pushed === 0 ? sp : fp - this.#pushed);
      if (caller <= 0 || caller >= ADDR_LIMIT) break;
      frames.push({ point, pc, sp, fp, trap: false });
      point = this.#code.callerOf(point, caller);
      pc = caller;
      sp = fp;
    }
    return pc === at.pc && sp === at.sp ? at : { pc, sp, lr: 0, trap: false, r12: null };
  }

  /**
   * Writes the pcs of a whole stack to `pcs`, innermost first, if all of its frames are ordinary, but for goexit's at its
   * end: as a walk finds them, without making the frames. Returns how many there are; 0 where only a walk can tell.
   * Throws MemoryFault where the function table is absent.
   */
  pcsOfWhole({ registers, trap, user }: UnwindStart, pcs: Float64Array): number {
    if (trap || registers.lr !== 0 || user.sched.pc === 0) return 0;
    let { pc, sp } = registers;
    let point = this.#code.at(pc);
    let count = 0;
    while (point !== null && isOnStack(user, sp) && count < pcs.length) {
      pcs[count++] = pc;
      const size = point.ordinarySize;
      if (size < 0) {
        const isWhole = point.special === 'goexit' && point.spDelta !== null && sp === user.topSp;
        return isWhole ? count : 0;
      }
      const fp = sp + size + this.#pushed;
      if (fp <= sp || !isOnStack(user, fp)) return 0;
      pc = this.#memory.wordIfKnown(this.#pushed === 0 ? sp : fp - this.#pushed);
      if (pc <= 0 || pc >= ADDR_LIMIT) return 0;
      point = this.#code.callerOf(point, pc);
      sp = fp;
    }
    return 0;
  }
}

import { hex } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { CodeIndex } from './code-index.js';
import { OrdinaryFrames } from './ordinary-frames.js';
import { UnwindRules } from './rules.js';
import { StackMemory, type UsedWord } from './stack-memory.js';
import { positionOf, type PhysicalFrame, type Position, type RuleCode, type Step } from './step.js';
import { isOnStack, type UnwindStart, type UserStack } from './unwind-start.js';

/** A stack as far as it could be followed. */
export interface Unwound {
  /** Innermost first. */
  readonly frames: readonly PhysicalFrame[];
  /** Why the stack ends before its outermost function; null where it is whole. */
  readonly truncated: string | null;
  /** Present where nothing could be followed, since the goroutine ran or moved: nothing is wrong with its stack. */
  readonly untold?: true;
}

/** Watches a walk over a stack. */
export interface WalkObserver {
  /** A rule is about to use this value. The step that it belongs to is reported afterwards. */
  usesWord(word: UsedWord): void;
  /** The walk took a step from `at`. */
  tookStep(at: Position, step: Step): void;
}

/** Deeper stacks are cut: a runaway recursion fills a gigabyte with ten million frames. */
const MAX_FRAMES = 50_000;
/** Signal handlers that were interrupted by one another; more are a loop. */
const MAX_SIGNAL_FRAMES = 8;

/** Follows stacks, from registers and memory to frames. {@link UnwindRules} has the rules. */
export class Unwinder {
  readonly #rules: UnwindRules;
  /** null where every step is observed. */
  readonly #ordinary: OrdinaryFrames | null;
  readonly #observer: WalkObserver | null;

  constructor(memory: Memory, arch: Arch, code: CodeIndex, observer: WalkObserver | null = null) {
    const watch = observer === null ? null : (word: UsedWord) => observer.usesWord(word);
    const stackMemory = new StackMemory(memory, watch);
    this.#rules = new UnwindRules(stackMemory, arch, code);
    this.#ordinary = observer === null ? new OrdinaryFrames(stackMemory, code, arch === 'amd64' ? 8 : 0) : null;
    this.#observer = observer;
  }

  /** At most `limit` frames, innermost first. Never throws for what is or is not in the target's memory. */
  unwind(start: UnwindStart, limit = MAX_FRAMES): Unwound {
    const frames: PhysicalFrame[] = [];
    const truncated = onFault(
      () => this.#walk(start, frames, limit),
      (fault) => fault.message,
    );
    return { frames, truncated };
  }

  /**
   * Writes the pcs of a stack to `pcs`, innermost first: for those that come by the million. Returns how many there are;
   * 0 for a stack that is not whole, or of other than ordinary functions: {@link unwind} tells of all.
   */
  pcsOfWhole(start: UnwindStart, pcs: Float64Array): number {
    const ordinary = this.#ordinary;
    if (ordinary === null) return 0;
    return onFault(
      () => ordinary.pcsOfWhole(start, pcs),
      () => 0,
    );
  }

  /** Adds to `frames`, and returns why the stack ends early, or null. Throws MemoryFault. */
  #walk(start: UnwindStart, frames: PhysicalFrame[], limit: number): string | null {
    let at = positionOf(start.registers, start.trap);
    if (at.pc === 0) at = this.#afterNilCall(at);
    if (start.machine === null && !isOnStack(start.user, at.sp)) return outside(start.user, at.sp);
    let signals = 0;
    for (let steps = 0; steps <= MAX_FRAMES; steps++) {
      if (this.#ordinary !== null) at = this.#ordinary.follow(start.user, at, frames, limit);
      if (frames.length >= limit) return null;
      const step = this.#rules.step(start, at, frames[0]);
      this.#observer?.tookStep(at, step);
      const { frame, next } = step;
      if (frame !== null) frames.push(frame);
      if (next === null) return step.truncated;
      const lost = whereLost(start.user, at, step, next);
      if (lost !== null) return lost;
      if (frame?.point.special === 'sigtramp' && ++signals > MAX_SIGNAL_FRAMES) {
        return `more than ${MAX_SIGNAL_FRAMES} signal frames`;
      }
      at = next;
    }
    return `deeper than ${MAX_FRAMES} frames`;
  }

  #afterNilCall(at: Position): Position {
    const next = this.#rules.afterNilCall(at);
    this.#observer?.tookStep(at, { rule: 'nil-call', frame: null, next, truncated: null });
    return next;
  }
}

/** Steps to registers that the kernel or the runtime saved, which may be of any stack. */
const TO_SAVED_REGISTERS: ReadonlySet<RuleCode> = new Set([
  ...(['signal-frame', 'sigreturn', 'c-signal-frame', 'undone-call', 'mcall', 'morestack', 'mstart'] as const),
  ...(['vdso', 'outside-go', 'race-call'] as const),
]);

/** Why the walk cannot go on at `next`; null where it can. A stack leads upwards, and a goroutine's to its end. */
function whereLost(user: UserStack, at: Position, { rule, frame }: Step, next: Position): string | null {
  if (next.pc === at.pc && next.sp === at.sp) return `stuck at ${hex(at.sp)}`;
  if (TO_SAVED_REGISTERS.has(rule)) return null;
  const from = frame?.sp ?? at.sp;
  // Only a function that has not stored its return address yet, if the CPU has a link register, takes no room.
  const goesUp = next.sp > from || (next.sp === from && (at.trap || rule === 'link-register'));
  if (!goesUp) return `the stack leads from ${hex(from)} back to ${hex(next.sp)}`;
  return isOnStack(user, from) && !isOnStack(user, next.sp) ? outside(user, next.sp) : null;
}

function outside({ lo, hi }: UserStack, sp: number): string {
  return `${hex(sp)} is not on the goroutine's stack, from ${hex(lo)} to ${hex(hi)}`;
}

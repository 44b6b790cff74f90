import type { StartRegisters } from '../runtime/goroutine.js';
import type { CodePoint } from './code-index.js';

/** One function call on a stack, together with all calls that are inlined into it (see {@link CodePoint.lines}). */
export interface PhysicalFrame {
  readonly point: CodePoint;
  readonly pc: number;
  /** Stack pointer in this frame. */
  readonly sp: number;
  /** Stack pointer of the caller once this call has returned, as a traceback prints it. */
  readonly fp: number;
  /** True where `pc` is the next instruction (of a thread, or after a trap or a signal), false for a return address. */
  readonly trap: boolean;
}

/** Registers at which a walk over a stack goes on. `lr` is 0 where the link register of the frame is not known. */
export interface Position extends StartRegisters {
  /** R12 on amd64; null where it is not known. */
  readonly r12: number | null;
  /** As in {@link PhysicalFrame.trap}. */
  readonly trap: boolean;
}

/** A position from registers. All have one shape, made here or as a literal in this order: walks are hot. */
export function positionOf({ pc, sp, lr, r12 = null }: StartRegisters, trap: boolean): Position {
  return { pc, sp, lr, trap, r12 };
}

/** How a step found the caller, or why it found none. Stable words for scripts; docs/debugging-a-stack.md has them all. */
export type RuleCode =
  // The caller's pc and sp are found on the stack.
  | 'return-address'
  | 'link-register'
  | 'cgo-callback'
  | 'faked-call'
  | 'nil-call'
  // The walk leaves a system stack for the goroutine's stack.
  | 'system-stack-switch'
  | 'mcall'
  | 'morestack'
  | 'gogo'
  | 'mstart'
  | 'vdso-clock'
  | 'vdso'
  | 'outside-go'
  | 'race-call'
  // The walk leaves a signal handler for the code that it interrupted.
  | 'signal-frame'
  | 'sigreturn'
  | 'c-signal-frame'
  | 'undone-call'
  // The stack is whole.
  | 'top-frame'
  // The stack ends early.
  | 'no-caller'
  | 'no-frame-size'
  | 'not-outermost'
  | 'unknown-frame-size'
  | 'unknown-code'
  | 'unknown-c-caller'
  | 'c-signal-handler'
  | 'half-faked-call'
  | 'half-recovered'
  | 'stack-switch';

/** One step of a walk, from one function to its caller. */
export interface Step {
  readonly rule: RuleCode;
  /** The frame that the step adds to the stack; null for functions that a traceback does not show. */
  readonly frame: PhysicalFrame | null;
  /** Where the walk goes on; null at its end. */
  readonly next: Position | null;
  /** Why the stack ends before its outermost function; null where the walk goes on or the stack is whole. */
  readonly truncated: string | null;
}

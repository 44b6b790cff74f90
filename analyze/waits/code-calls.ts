import type { FrameRange, Registers } from './code-registers.js';
import type { Value } from './code-values.js';
import type { LockCall, Mode, SlowPath } from './lock-functions.js';
import type { Hold, IndirectCall, LockStates } from './lock-states.js';

/** What code does with locks in the instructions of one function. Offsets are in its code. */
export interface CodeCalls {
  /** What a direct call at an offset does, of what lies at another. */
  readonly callee: (target: number) => Callee;
  /** The method of a lock whose atomic instruction lies at an offset, inlined; null if there is none. */
  readonly inlined: (at: number) => LockCall | null;
  /** Variables of the frame that the functions it calls may change. */
  readonly changed: readonly FrameRange[];
  /** Whether the receiver of a call is in a register, or on the stack. */
  readonly inRegisters: boolean;
  /** Bytes of arguments and results on the stack that a callee may change of which nothing is known. */
  readonly argumentBytes: number;
}

export interface Callee {
  readonly lock: LockCall | null;
  /** The inlined method whose slow path it is. */
  readonly slowPath: SlowPath | null;
  /** What it has done with its caller's locks when it returns; null where it does nothing. */
  readonly summary: Summary | null;
  /** True for runtime.deferreturn, which runs the deferred calls. */
  readonly runsDefers: boolean;
  /** Of a function that looks into a map: which keys that has; null for others. */
  readonly looksUp: 'integer' | 'string' | null;
  /** True for runtime.gcWriteBarrier. */
  readonly isBarrier: boolean;
  /** Bytes of arguments and results on the stack that it may change; null where that is not known. */
  readonly argumentBytes: number | null;
}

/** A function as its callers see it when it returns, in terms of what it was given. */
export interface Summary {
  readonly locks: LockStates;
  /** What it returns, as far as that is known: by register, or by bytes from the stack pointer at its entry. */
  readonly results: readonly (readonly [at: number, value: Value])[];
}

/** One event: that a lock was acquired or released, or something called of which the code does not tell what it is. */
export type LockEvent = {
  /** Behind the instruction. */
  readonly end: number;
} & (
  | { readonly does: 'acquire' | 'release'; readonly value: Value | null; readonly mode: Mode }
  | { readonly does: 'call'; readonly call: IndirectCall }
);

/** What code may still do with locks from one place on. */
export interface Ahead {
  /** Locks that it may release before it acquires them again. */
  readonly next: readonly Hold[];
  /** Locks that it may acquire. */
  readonly nextAcquired: readonly Hold[];
  /** Indirect calls that it may make. */
  readonly nextCalls: readonly IndirectCall[];
}

/** Where a goroutine stands in the code of a function, and what that code has done with locks. */
export interface Stand extends Ahead {
  readonly registers: Registers;
  readonly locks: LockStates;
  /** What the slow path of an inlined method waits for, which the code before it may seem to have acquired. */
  readonly waitsFor: { readonly value: Value | null; readonly mode: Mode } | null;
}

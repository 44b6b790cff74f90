import type { StartRegisters } from '../runtime/goroutine.js';

/** A goroutine's stack. All 0: there is no goroutine. */
export interface UserStack {
  /** The stack is [lo, hi). */
  readonly lo: number;
  readonly hi: number;
  /** The registers in g.sched, at which it left the stack last. */
  readonly sched: StartRegisters;
  /** g.stktopsp: the stack pointer of goexit's frame. "Expected sp at top of stack, to check in traceback" (runtime2.go). */
  readonly topSp: number;
}

/** What an M keeps of its switches between stacks. Addresses; 0 where they are not known. */
export interface MachineState {
  /** m.g0.sched.sp: where functions that switch to the system stack begin on it. */
  readonly systemSp: number;
  /** m.gsignal.stack: the stack of signal handlers. */
  readonly signal: { readonly lo: number; readonly hi: number };
  /** m.vdsoPC and m.vdsoSP: the Go function that asks the vDSO for the time; `sp` is 0 while none does. */
  readonly vdso: { readonly pc: number; readonly sp: number };
}

/** Where a walk over a stack begins. */
export interface UnwindStart {
  readonly registers: StartRegisters;
  /** True where `registers.pc` is the next instruction of a thread, rather than a return address. */
  readonly trap: boolean;
  /** True where the registers are g.syscallpc and g.syscallsp. */
  readonly syscall: boolean;
  /** The goroutine whose stack it is, or that the thread runs. */
  readonly user: UserStack;
  /** The M on whose thread the walk begins; null where the registers are not a thread's. */
  readonly machine: MachineState | null;
}

/** True where `sp` is on the goroutine's stack: where it is empty, SP is at its end. */
export function isOnStack({ lo, hi }: UserStack, sp: number): boolean {
  return sp > lo && sp <= hi;
}

/** True where `sp` is on a system or signal stack that a goroutine switched to: the walk will return to its stack. */
export function isOnSystemStack(user: UserStack, sp: number): boolean {
  return user.sched.pc !== 0 && !isOnStack(user, sp);
}

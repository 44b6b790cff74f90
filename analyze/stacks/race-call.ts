import type { CodeIndex, CodePoint } from './code-index.js';
import { CALL_BYTES, type StackMemory } from './stack-memory.js';
import type { Position } from './step.js';
import { isOnStack, type UserStack } from './unwind-start.js';

/**
 * What calls the C code of the race detector, and of msan and asan, keeps no trace of the goroutine but its SP, in R12,
 * which C functions preserve (racecall in race_amd64.s, msancall in msan_amd64.s, asancall in asan_amd64.s; 1.12+). It
 * goes to g0.sched.sp, aligned to 16 bytes, so that its return address lies right below. On arm64 (race_arm64.s) C code
 * stores the return address wherever it likes.
 */

/** Functions that such C code is called for, by the instrumented code or by one another. */
const ENTRIES = /^(runtime\.(race|Race|do[amls]+san|[amls]+san)|sync\/atomic\.|(race|msan|asan)\w*$)/;
/** Bytes of the system stack that are searched: C code of these libraries is shallow. */
const MOST_SEARCHED = 64 << 10;

/** Where C code that racecall called for the goroutine returns to; null where it did not. Throws MemoryFault. */
export function raceCallReturn(memory: StackMemory, code: CodeIndex, systemSp: number): CodePoint | null {
  if (memory.known(systemSp, 'g0.sched.sp') === 0) return null;
  const point = code.at(memory.word(returnSlot(systemSp), 'return address, were it in racecall'));
  return point?.special === 'racecall' ? point : null;
}

/** Values that may be the goroutine's SP in racecall. */
export interface KeptStackPointers {
  /** What is in R12; null if that cannot be it. C code that has not stored R12, or has restored it, did not change it. */
  readonly inRegister: number | null;
  /** What C code has stored on the system stack. */
  readonly stored: ReadonlySet<number>;
}

/**
 * Finds what may be the goroutine's SP in racecall, after C code at `at` that returns to `point`: above the frame of racecall
 * is the return address of a call of it. Since Go 1.21, that frame holds RBP in asancall and msancall. C code of these
 * libraries stores R12 at SP or above, never in the red zone, as no function of race_linux*.syso of 1.12 to 1.27 does: what
 * is there is left over from earlier calls. Throws MemoryFault where that stack is absent.
 */
export function keptStackPointers(
  memory: StackMemory,
  code: CodeIndex,
  user: UserStack,
  at: Position,
  point: CodePoint,
  systemSp: number,
): KeptStackPointers {
  const frameSize = point.spDelta ?? 0;
  const mayBeKept = (sp: number): boolean => {
    if (sp % 8 !== 0 || !isOnStack(user, sp) || sp + frameSize >= user.hi) return false;
    const called = memory.callBefore(memory.word(sp + frameSize, 'return address, were it of racecall'));
    return called !== null && ENTRIES.test(code.at(called)?.func.name ?? '');
  };
  const stored = new Set<number>();
  const end = returnSlot(systemSp);
  const start = at.sp - (at.sp % 8);
  if (at.r12 === null || start > end || end - start > MOST_SEARCHED) return { inRegister: null, stored };
  const inRegister = mayBeKept(at.r12) ? at.r12 : null;
  for (let slot = start; slot < end; slot += 8) {
    const sp = memory.word(slot, 'R12, were it stored');
    if (!stored.has(sp) && mayBeKept(sp)) stored.add(sp);
  }
  return { inRegister, stored };
}

function returnSlot(systemSp: number): number {
  return systemSp - (systemSp % 16) - 8;
}

/**
 * False where the call that `pc` returns from is one of another function than `callee`: then one of the two is left over
 * from earlier calls. What is called may jump to `callee` if it is a wrapper or in assembly; the functions of
 * {@link ENTRIES} jump to one another. Up to Go 1.16, jmpdefer moves a return address back, to call deferreturn again.
 */
export function mayHaveCalled(memory: StackMemory, code: CodeIndex, pc: number, callee: CodePoint): boolean {
  const pointAt = (at: number | null): CodePoint | null => (at === null ? null : code.at(at));
  const called = pointAt(memory.callBefore(pc));
  if (called === null || called.func.entry === callee.func.entry || code.at(pc)?.special === 'goexit') return true;
  if (pointAt(memory.callBefore(pc + CALL_BYTES))?.func.name === 'runtime.deferreturn') return true;
  if (ENTRIES.test(called.func.name)) return callee.special === 'racecall' || ENTRIES.test(callee.func.name);
  return code.isWrapper(called.func) || called.lines(true).some(({ file }) => file.endsWith('.s'));
}

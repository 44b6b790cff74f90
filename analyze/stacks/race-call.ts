import { RED_ZONE } from '../runtime/memory-ranges.js';
import type { CodeIndex, CodePoint } from './code-index.js';
import type { StackMemory } from './stack-memory.js';
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
/** CALL rel32. */
const CALL_BYTES = 5;

/** The return address of C code that racecall called for the goroutine; null where it did not. Throws MemoryFault. */
export function raceCallReturn(memory: StackMemory, code: CodeIndex, systemSp: number): number | null {
  if (memory.known(systemSp, 'g0.sched.sp') === 0) return null;
  const pc = memory.word(returnSlot(systemSp), 'return address, were it in racecall');
  return code.at(pc)?.special === 'racecall' ? pc : null;
}

/**
 * Every value that may be the goroutine's SP in racecall, which C code at `at` has left in R12 or has stored on the system
 * stack: the word there is the return address of a call of racecall. Throws MemoryFault where that stack is absent.
 */
export function keptStackPointers(
  memory: StackMemory,
  code: CodeIndex,
  user: UserStack,
  at: Position,
  systemSp: number,
): ReadonlySet<number> {
  const found = new Set<number>();
  const consider = (sp: number): void => {
    if (sp % 8 !== 0 || !isOnStack(user, sp) || found.has(sp)) return;
    const called = memory.callBefore(memory.word(sp, 'return address, were it of racecall'), CALL_BYTES);
    if (called !== null && ENTRIES.test(code.at(called)?.func.name ?? '')) found.add(sp);
  };
  const end = returnSlot(systemSp);
  const start = at.sp - (at.sp % 8) - RED_ZONE;
  if (at.r12 === null || start > end || end - start > MOST_SEARCHED) return found;
  consider(at.r12);
  for (let slot = start; slot < end; slot += 8) consider(memory.word(slot, 'R12, were it stored'));
  return found;
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
  const called = pointAt(memory.callBefore(pc, CALL_BYTES));
  if (called === null || called.func.entry === callee.func.entry || code.at(pc)?.special === 'goexit') return true;
  if (pointAt(memory.callBefore(pc + CALL_BYTES, CALL_BYTES))?.func.name === 'runtime.deferreturn') return true;
  if (ENTRIES.test(called.func.name)) return callee.special === 'racecall' || ENTRIES.test(callee.func.name);
  return code.isWrapper(called.func) || called.lines(true).some(({ file }) => file.endsWith('.s'));
}

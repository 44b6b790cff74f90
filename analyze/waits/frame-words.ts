import type { Addr } from '../../snapshots/address.js';
import { wordAt } from '../../snapshots/bytes.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { PhysicalFrame } from '../stacks/step.js';

/** Bytes above a frame in which the function that was called keeps arguments that came in registers (spill area). */
const SPILLED = 64;
/** A goroutine's stack is searched no further: what it waits for and gave away lies in the innermost frames of most. */
const MAX_SEARCHED = 64 * 1024;
/** Words of a closure, behind the address of its code, that it may have captured. */
const MAX_CAPTURED = 8;

/** Calls `use` with the words of a frame, and with what a closure has captured that it is the frame of. */
export function eachWordOf(
  memory: Memory,
  g: G,
  { sp, fp, point: { func } }: PhysicalFrame,
  use: (word: number) => void,
): void {
  const hi = Math.min(fp + SPILLED, g.stack.hi);
  for (let at = sp - (sp % 8); at + 8 <= hi; at += 8) {
    const word = memory.wordOr0(at as Addr);
    use(word);
    if (word < 4096 || word % 8 !== 0 || (word >= g.stack.lo && word < g.stack.hi)) continue;
    if (memory.wordOr0(word as Addr) !== func.entry) continue;
    for (let i = 1; i <= MAX_CAPTURED; i++) use(memory.wordOr0(word as Addr, 8 * i));
  }
}

/** Where the frames of a goroutine lie that are searched; null where its stack cannot be followed. */
export function searchedStack(program: GoProgram, g: G): { readonly lo: number; readonly hi: number } | null {
  const sp = program.startOf(g)?.registers.sp;
  const { lo, hi } = g.stack;
  if (sp === undefined || sp < lo || sp >= hi) return null;
  return { lo: sp - (sp % 8), hi: Math.min(hi, sp + MAX_SEARCHED) };
}

/** Whether a test holds of one of the words from `lo` to `hi`. What is absent holds none. */
export function someWord(memory: Memory, lo: number, hi: number, test: (word: number) => boolean): boolean {
  return onFault(
    () => {
      for (let at = lo; at + 8 <= hi;) {
        const window = memory.around(at as Addr);
        const end = Math.min(hi, window.hi) - 8;
        if (at > end) {
          if (test(memory.word(at as Addr))) return true;
          at += 8;
        }
        for (; at <= end; at += 8) if (test(wordAt(window.view, at - window.lo))) return true;
      }
      return false;
    },
    () => false,
  );
}

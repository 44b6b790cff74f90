import { linesOf, visitSharedStacks, type SharedStack } from '../../analyze/report/shared-stacks.js';
import type { Source } from './model.js';

/** Goroutines with the same lines on their stacks. */
export interface StackCount {
  readonly stack: SharedStack;
  /** The first one's. */
  readonly runtime: number;
  count: number;
  /** The sum of what is known of their waits, in nanoseconds. */
  waitNs: number;
}

/** Counts goroutines by what `keyOf` says of their stack. */
export function countStacks<K>({ programs, query }: Source, keyOf: (stack: SharedStack) => K): Map<K, StackCount> {
  const counts = new Map<K, StackCount>();
  const keys = new WeakMap<SharedStack, K>();
  visitSharedStacks(programs, query.selection ?? {}, ({ goroutine, stack }) => {
    const key = keys.get(stack) ?? keyOf(stack);
    keys.set(stack, key);
    let counted = counts.get(key);
    if (counted === undefined) {
      counts.set(key, (counted = { stack, runtime: goroutine.runtime, count: 0, waitNs: 0 }));
    }
    counted.count++;
    counted.waitNs += goroutine.waitSinceNs ?? 0;
  });
  return counts;
}

/** What stands in place of the callers that a stack which ends early lacks. */
export const CUT = '(the stack ends early)';

/** The functions of a stack, the outermost first, as flame graphs have it. */
export function outwards(stack: SharedStack): string[] {
  const names = [...linesOf(stack)].map(({ func }) => func).reverse();
  return stack.truncated === null ? names : [CUT, ...names];
}

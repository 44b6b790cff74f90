import { firstAbove } from './binary-search.js';

/**
 * What was found out about a blocked goroutine by marking the heap from all that can run. `leaked`: nothing reaches what it
 * waits on. `leaked but deferred`: only calls that blocked goroutines deferred do, which Go's own leak profile counts as reaching
 * it. Else by what it is reached first: a `global` variable; a `goroutine` that can run, or that is reached itself; a `finalizer`
 * or another record that the runtime keeps of an object; a `thread`, in a register or on the runtime's own stack; or it is
 * `outside` of the heap.
 */
export const OUTCOMES = [
  ...(['leaked', 'leaked but deferred', 'global', 'goroutine', 'finalizer', 'thread', 'outside'] as const),
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** What a capture proved about all blocked goroutines of a process. */
export interface LeakProof {
  /** Addresses of the gs that were asked about, ascending. */
  readonly gs: Float64Array;
  /** For each an index into {@link OUTCOMES}. */
  readonly outcomes: Uint8Array;
  /**
   * For each, from where it is reached: the address of the word among the globals or on the thread's stack, of the other
   * goroutine's g, of the runtime's record, or of what lies outside of the heap; 0 where there is none.
   */
  readonly from: Float64Array;
  /** Names of global variables by addresses in `from`, where the program has a symbol table. */
  readonly names: ReadonlyMap<number, string>;
}

/** Index of a g in a proof; -1 if the proof says nothing about it. */
export function indexOfG({ gs }: LeakProof, g: number): number {
  const i = firstAbove(gs, g) - 1;
  return gs[i] === g ? i : -1;
}

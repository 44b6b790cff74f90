import type { Analysis } from '../analysis.js';
import type { GoProgram } from '../program.js';
import { answer, type Answer } from './answer.js';
import { STACK_READS } from './locations.js';

/** Goroutines that an image does not hold whole. */
export interface Missing {
  /** Goroutines whose stack cannot be followed to its end, and why, in the order of their ids. */
  readonly stacks: readonly { readonly goid: number; readonly runtime: number; readonly reason: string }[];
  /** How many such goroutines are not listed. */
  readonly more: number;
  /** Goroutines of which nothing is known: their records, or parts of the list of them, are absent. */
  readonly unreadable: number;
}

export const missingAnalysis: Analysis = { name: 'missing', reads: [STACK_READS], answer: findMissing };

const MAX_LISTED = 1000;

/** Follows every stack to its end. The warnings say which records could not be read. */
export function findMissing(program: GoProgram): Answer<Missing> {
  const stacks: { goid: number; runtime: number; reason: string }[] = [];
  let more = 0;
  for (const g of program.goroutines()) {
    const { truncated } = program.stackOf(g);
    if (truncated === null) continue;
    if (stacks.length < MAX_LISTED) stacks.push({ goid: g.goid, runtime: program.runtime.n, reason: truncated });
    else more++;
  }
  return answer(program, { stacks, more, unreadable: program.unreadable });
}

import type { GoProgram } from '../program.js';

/** Goroutines of which a file does not have all. */
export interface Missing {
  /** Those whose stack cannot be followed to its end, with the reason, by id. */
  readonly stacks: readonly { readonly goid: number; readonly reason: string }[];
  /** How many follow that are not listed. */
  readonly more: number;
  /** Goroutines of which nothing can be said: their records, or the list of them, are not all there. */
  readonly unreadable: number;
}

const MOST_LISTED = 1000;

/** Follows every stack to its end. What could not be read of the records is told by the program's warnings, too. */
export function missingOf(program: GoProgram): Missing {
  const stacks: { goid: number; reason: string }[] = [];
  let more = 0;
  for (const g of program.goroutines()) {
    const { truncated } = program.stackOf(g);
    if (truncated === null) continue;
    if (stacks.length < MOST_LISTED) stacks.push({ goid: g.goid, reason: truncated });
    else more++;
  }
  return { stacks, more, unreadable: program.unreadable };
}

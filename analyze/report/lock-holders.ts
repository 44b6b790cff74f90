import type { Analysis, GoroutineReads, Reads } from '../analysis.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { KnownStack } from '../stack-ids.js';
import { HolderFinder } from '../waits/holders.js';
import { OwnLockCode } from '../waits/own-locks.js';
import { answer } from './answer.js';

/** The code of functions on stacks, as far as it has to do with locks, and the calls that they have deferred. */
export const HOLDER_READS: Reads = {
  goroutine: claimReads,
  named: (program) => claimReads(program).read,
};

const EVERY_LOCK = { has: () => true, all: [] };

function claimReads(program: GoProgram): { read: (g: G, stack?: KnownStack) => unknown } & GoroutineReads {
  const finder = new HolderFinder(program, EVERY_LOCK);
  const ofOwn = new HolderFinder(program, EVERY_LOCK, program.index.facts(OwnLockCode));
  return {
    read: (g, stack) => [finder.claimsOf(g, stack), ofOwn.claimsOf(g, stack)],
    mayDiffer: (stack) => finder.mayHoldIn(stack) || ofOwn.mayHoldIn(stack),
  };
}

/** What the code of every goroutine's frames says that it holds: what is asked for when the holders of locks are looked for. */
export const holdersAnalysis: Analysis = {
  name: 'holders',
  reads: [HOLDER_READS],
  answer: (program) => answer(program, [...positionsIn(program)]),
};

function* positionsIn(program: GoProgram): Iterable<unknown> {
  const finder = new HolderFinder(program, EVERY_LOCK);
  for (const g of program.goroutines('stack')) {
    for (const { address, mode, position, isReleasedNext } of finder.claimsOf(g)) {
      if (position !== null) yield { goid: g.goid, address, mode, position, isReleasedNext };
    }
  }
}

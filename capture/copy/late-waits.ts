import { LayeredSource, Memory, type Range } from '../../snapshots/memory.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { WaitReader } from '../../analyze/runtime/wait-records.js';
import type { LateReads } from './late-reads.js';
import type { RunSource } from './run-source.js';

/** Steps along the list of a select's cases: what is known says where to read next. */
const MAX_ROUNDS = 64;

/**
 * Reads what goroutines wait for, of those that are not where the plan has them. `queues` is null unless the planned
 * queues were read since the last goroutine moved.
 */
export function readWaits(
  late: LateReads,
  goroutines: readonly G[],
  stacks: RunSource,
  queues: RunSource | null,
): void {
  const source = new LayeredSource(queues === null ? [late.memory, stacks] : [late.memory, queues, stacks]);
  const isUnread = ({ lo, hi }: Range): boolean => queues?.has(lo, hi) !== true;
  let left = goroutines;
  for (let round = 0; left.length > 0; round++) {
    const waits = new WaitReader(late.plan.program.over({ memory: new Memory(source) }));
    const missing = late.missing(left.flatMap((g) => waits.missingFor(g)));
    if (round === MAX_ROUNDS || missing.length === 0) {
      const found = goroutines.flatMap((g) => waits.waitsFor(g) ?? []);
      const ranges = found.flatMap((wait) => [...waits.queuesOf(wait), ...waits.wordsOf(wait)]);
      late.readMissing(ranges.filter(isUnread));
      return;
    }
    late.read(missing);
    left = left.filter((g) => waits.missingFor(g).length > 0);
  }
}

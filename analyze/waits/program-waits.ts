import { firstIndex } from '../../snapshots/binary-search.js';
import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { G } from '../runtime/goroutine.js';
import type { WaitsOn } from './model.js';
import type { WaitGraph } from './wait-graph.js';

/** The goroutines of a program, what they wait on, and who may end that. */
export interface Waits {
  readonly program: GoProgram;
  readonly graph: WaitGraph;
  /** Goroutine ids, ascending: a goroutine's index in the graph is its place here. */
  readonly goids: Float64Array;
  /** What is waited on, by its index in the graph. */
  readonly things: readonly WaitsOn[];
  /** By WaitGroup of which nobody is known who would call Done: the index of a goroutine that refers to it, and may. */
  readonly referring: Map<number, number>;
  /** True where the image lacks code of functions on stacks: who ends waits cannot be told then. */
  readonly lacksCode: boolean;
}

export const NO_GOROUTINE = -1;

/** The index of a goroutine in the graph; {@link NO_GOROUTINE} if there is none of this id. */
export function indexOf({ goids }: Pick<Waits, 'goids'>, goid: number): number {
  const at = firstIndex(goids.length, (i) => (goids[i] ?? 0) >= goid);
  return goids[at] === goid ? at : NO_GOROUTINE;
}

/** The goroutine at an index; null if it cannot be read. */
export function goroutineOf({ program }: Pick<Waits, 'program'>, index: number): G | null {
  const row = program.goroutineColumns.byGoid[index];
  return row === undefined ? null : program.goroutineIn(row);
}

/** What is waited on, by its index in the graph. */
export function thingAt({ things }: Pick<Waits, 'things'>, thing: number): WaitsOn {
  const on = things[thing];
  if (on === undefined) throw new RangeError(`there is no thing ${thing}`);
  return on;
}

/** Whether an image lacks the code of functions that goroutines were started with, as snapshots do that were not made for this. */
export function lacksCode(program: GoProgram): boolean {
  const { startpc, length } = program.goroutineColumns;
  for (const start of new Set(startpc.subarray(0, length))) {
    const func = onFault(
      () => program.index.at(start)?.func ?? null,
      () => null,
    );
    if (func === null || func.name.startsWith('runtime.')) continue;
    if (!program.memory.has(func.entry, func.end - func.entry)) return true;
  }
  return false;
}

/** All goroutines with their indexes, as their stacks lie in memory. */
export function* goroutinesByStack({
  program,
}: Pick<Waits, 'program'>): Iterable<{ readonly g: G; readonly index: number }> {
  const { length, byGoid } = program.goroutineColumns;
  const indexOfRow = new Uint32Array(length);
  byGoid.forEach((row, index) => (indexOfRow[row] = index));
  for (const row of program.goroutineRows('stack')) {
    const g = program.goroutineIn(row);
    if (g !== null) yield { g, index: indexOfRow[row] ?? 0 };
  }
}

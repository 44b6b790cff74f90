import { Runs, type RangeList } from '../../snapshots/runs.js';

/** How far apart size classes are at most that are above 32 and up to so many bytes (sizeclasses.go, 1.12 to 1.27). */
const STEPS: readonly (readonly [upToBytes: number, step: number])[] = [
  [256, 16],
  [512, 32],
];

/** Where objects of one size lie in the heap, each with what is left of its slot: nothing else lies there. */
export function slotsOf(objects: RangeList, sizeBytes: number): Runs {
  const step = STEPS.find(([upToBytes]) => sizeBytes <= upToBytes)?.[1] ?? 1;
  return new Runs(objects, step - 1);
}

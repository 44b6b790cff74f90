import type { Addr } from '../../snapshots/address.js';
import { onFault, type Memory } from '../../snapshots/memory.js';
import { Runs, RangeList } from '../../snapshots/runs.js';
import type { StackPlan } from '../../analyze/runtime/stack-plan.js';
import { Slab } from '../process/slab.js';
import type { CopySource } from './late-reads.js';

/** Stacks are read so many bytes at a time: few enough that they are still in the CPU's cache when they are looked at. */
const BATCH_BYTES = 1 << 20;
/** Parts in use that are this close, in bytes, are read as one run. */
const MAX_GAP = 1024;

/** The part in use of a stack. The next one overwrites the bytes. */
export interface ReadStack {
  /** Index of the goroutine in the plan. */
  owner: number;
  addr: number;
  bytes: Uint8Array;
}

/**
 * Reads the parts in use of stacks, by what `records` say of the goroutines, except those marked by a 1 in `passedOver`. Yields
 * them in ascending order without those that cannot be read whole, or that overlap with one before.
 */
export function* readStacks(
  plan: StackPlan,
  source: CopySource,
  records: DataView,
  passedOver: Uint8Array,
): Generator<ReadStack> {
  const slab = new Slab();
  const order = plan.inStackOrder;
  const owners = new Uint32Array(order.length);
  let end = 0;
  for (let next = 0; next < order.length;) {
    const stacks = new RangeList();
    const runs = new RangeList();
    let count = 0;
    let [runLo, runHi, sizeBytes] = [0, 0, 0];
    for (; next < order.length && sizeBytes + runHi - runLo < BATCH_BYTES; next++) {
      const owner = order[next] ?? 0;
      const range = passedOver[owner] === 1 ? null : plan.stackInUse(owner, records);
      if (range === null || range.lo < end) continue;
      const { lo, hi } = range;
      if (count > 0 && sizeBytes + hi - runLo > BATCH_BYTES) break;
      if (count === 0 || lo - runHi > MAX_GAP) {
        runs.add(runLo, runHi);
        sizeBytes += runHi - runLo;
        runLo = lo;
      }
      runHi = end = hi;
      owners[count++] = owner;
      stacks.add(lo, hi);
    }
    runs.add(runLo, runHi);
    slab.grow();
    yield* readBatch(source, new Runs(runs, 0), slab, owners, stacks);
  }
}

function* readBatch(
  source: CopySource,
  runs: Runs,
  slab: Slab,
  owners: Uint32Array,
  stacks: RangeList,
): Generator<ReadStack> {
  const reader = source.reader(runs, slab);
  const failed = new Set(reader.read());
  const { bytes } = reader;
  const [los, his] = [stacks.lo, stacks.hi];
  for (let i = 0; i < los.length; i++) {
    const [addr, length] = [los[i] ?? 0, (his[i] ?? 0) - (los[i] ?? 0)];
    if (failed.size > 0 && failed.has(runs.indexOf(addr))) continue;
    const at = runs.offsetOf(addr, length);
    yield { owner: owners[i] ?? 0, addr, bytes: bytes.subarray(at, at + length) };
  }
}

/**
 * Reads records part by part. `look` is called with each part, the offset at which it begins among all, and what `look`
 * returned for the last one, 0 at first.
 */
export function lookAtRecords(
  source: CopySource,
  records: Runs,
  look: (part: DataView, from: number, next: number) => number,
): void {
  const slab = new Slab();
  let next = 0;
  for (let first = 0; first < records.length;) {
    const from = records.placeOf(first);
    const part = new RangeList();
    let end = first;
    while (end < records.length && records.placeOf(end) - from < BATCH_BYTES) {
      part.add(records.startOf(end), records.endOf(end));
      end++;
    }
    slab.grow();
    const reader = source.reader(new Runs(part, 0), slab);
    reader.read();
    const { buffer, byteOffset, byteLength } = reader.bytes;
    next = look(new DataView(buffer, byteOffset, byteLength), from, next);
    first = end;
  }
}

/**
 * Reads stacks once more, by what `records` say, and marks in `moved` (1 by index) the goroutines whose stack in use is not the
 * same bytes as `before`. Those that are marked already are passed over.
 */
export function markChanged(
  plan: StackPlan,
  source: CopySource,
  records: DataView,
  before: Memory,
  moved: Uint8Array,
): void {
  const isSame = moved.slice();
  for (const { owner, addr, bytes } of readStacks(plan, source, records, moved)) {
    if (holds(before, addr, bytes)) isSame[owner] = 1;
  }
  for (let i = isSame.indexOf(0); i >= 0; i = isSame.indexOf(0, i + 1)) {
    if (plan.stackInUse(i, records) !== null) moved[i] = 1;
  }
}

/** True if memory has these bytes at an address. */
function holds(memory: Memory, addr: number, bytes: Uint8Array): boolean {
  return onFault(
    () => Buffer.compare(memory.bytes(addr as Addr, bytes.length), bytes) === 0,
    () => false,
  );
}

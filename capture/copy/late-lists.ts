import { NIL, plus, type Addr } from '../../snapshots/address.js';
import { onFault } from '../../snapshots/memory.js';
import { RangeList } from '../../snapshots/runs.js';
import type { GoRuntime } from '../../analyze/runtime/go-runtime.js';
import { readMachines, type M } from '../../analyze/runtime/machine.js';
import { machineRanges } from '../../analyze/runtime/memory-ranges.js';
import { MAX_PROCESSORS } from '../../analyze/runtime/processor.js';
import type { LateReads } from './late-reads.js';
import { copyNewMachines } from './machine-list.js';
import { MAX_GAP } from './plan.js';

/** A list that grew by more goroutines since the planning is damaged. */
const MAX_NEW_GOROUTINES = 1 << 20;
const NONE = new Float64Array(0);

/**
 * Reads the goroutines, Ms and Ps that are not in the plan, without which the runtime's lists would lead nowhere. Returns
 * the addresses of the new goroutines, and all Ms. What cannot be read is missing: the analysis says so.
 */
export function readLists(late: LateReads): { born: Float64Array; machines: readonly M[] } {
  const born = readNewGoroutines(late);
  readNewProcessors(late);
  return { born, machines: readAllMachines(late) };
}

/** runtime.allgs grows at its end and moves when it is full. Its elements never change. */
function readNewGoroutines(late: LateReads): Float64Array {
  const { globals, goroutineReader, memory } = late.program;
  const planned = late.plan.stackPlan.goroutines.length;
  return onFault(
    () => {
      const [list, length] = [memory.ptr(globals.allgs), memory.word(globals.allgs, 8)];
      if (length - planned > MAX_NEW_GOROUTINES) return NONE;
      if (length <= planned && memory.has(list, 8 * length)) return NONE;
      late.read([{ lo: list, hi: plus(list, 8 * length) }]);
      const born = new Float64Array(Math.max(0, length - planned));
      const gs = new RangeList();
      for (let i = 0; i < born.length; i++) {
        const g = memory.ptr(list, 8 * (planned + i));
        born[i] = g;
        gs.add(g, g + goroutineReader.sizeBytes);
      }
      late.read(gs, MAX_GAP);
      return born;
    },
    () => NONE,
  );
}

/** A change of GOMAXPROCS makes new Ps, and may move the list (procresize in proc.go). */
function readNewProcessors(late: LateReads): void {
  const { globals, layouts, memory } = late.program;
  const { sizeBytes } = layouts.of('p');
  onFault(
    () => {
      const [list, length] = [memory.ptr(globals.allp), memory.word(globals.allp, 8)];
      if (length > MAX_PROCESSORS) return;
      late.readMissing([{ lo: list, hi: plus(list, 8 * length) }]);
      const ps = Array.from({ length }, (_, i) => memory.ptr(list, 8 * i));
      late.readMissing(ps.map((p) => ({ lo: p, hi: plus(p, sizeBytes) })));
    },
    () => undefined,
  );
}

/** New Ms are put at the head of runtime.allm, each with a link to the one that was made before it. */
function readAllMachines(late: LateReads): readonly M[] {
  const { globals, layouts, memory } = late.program;
  const isPlanned = (at: Addr): boolean => at === 0 || late.plan.records.indexOf(at) >= 0;
  const linkOf = (m: Addr): Addr | null => (memory.has(m, layouts.of('m').sizeBytes) ? linkAt(m) : null);
  const linkAt = (m: Addr): Addr =>
    onFault(
      () => memory.ptr(m, globals.alllink),
      () => NIL,
    );
  const first = onFault(
    () => memory.ptr(globals.allm),
    () => NIL,
  );
  late.add(copyNewMachines(late.program, late.source, first, linkOf));
  const { machines } = readMachines(memory, layouts, globals);
  // With a planned M that has its planned gs, all that belongs to it was planned.
  const unplanned = machines.filter(
    ({ addr, g0, gsignal }) => !isPlanned(addr) || !isPlanned(g0) || !isPlanned(gsignal),
  );
  const missing = late.missing(unplanned.flatMap((m) => machineRanges(late.program, m)));
  late.read(missing);
  // Where the system stack of a new M is, only its g0 says.
  const read = new Set(missing.map(({ lo }) => lo));
  late.readMissing(unplanned.filter(({ g0 }) => read.has(g0)).flatMap((m) => machineRanges(late.program, m)));
  return machines;
}

/** True if the program has all elements of runtime.allgs. */
export function hasAllGoroutines({ goroutineReader, globals }: GoRuntime): boolean {
  return onFault(
    () => goroutineReader.presentAddresses(globals.allgs).absent === 0,
    () => false,
  );
}

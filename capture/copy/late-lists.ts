import { plus, type Addr } from '../../snapshots/address.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { readMachines, type M } from '../../analyze/runtime/machine.js';
import { machineRanges, readGoroutine } from '../../analyze/runtime/memory-ranges.js';
import type { LateReads } from './late-reads.js';

/** New Ms that are followed: each names the one that was made before it. */
const MAX_NEW_MACHINES = 16;

/**
 * Reads the goroutines and Ms that are not in the plan, without which the runtime's lists would lead nowhere. Returns the
 * new goroutines, and all Ms.
 */
export function readLists(late: LateReads): { born: readonly G[]; machines: readonly M[] } {
  const born = readNewGoroutines(late).flatMap((g) => readGoroutine(late.program, g) ?? []);
  return { born, machines: readAllMachines(late) };
}

/** runtime.allgs grows at its end and moves when it is full. Its elements never change. */
function readNewGoroutines(late: LateReads): Addr[] {
  const { globals, goroutineReader, memory } = late.program;
  const planned = late.plan.stackPlan.goroutines.length;
  const [list, length] = [memory.ptr(globals.allgs), memory.word(globals.allgs, 8)];
  if (length === planned && memory.has(list, 8 * length)) return [];
  late.read([{ lo: list, hi: plus(list, 8 * length) }]);
  const fresh: Addr[] = [];
  for (let i = planned; i < length; i++) fresh.push(memory.ptr(list, 8 * i));
  late.read(fresh.map((g) => ({ lo: g, hi: plus(g, goroutineReader.sizeBytes) })));
  return fresh;
}

/** New Ms are put at the head of runtime.allm. */
function readAllMachines(late: LateReads): readonly M[] {
  const { globals, layouts, memory } = late.program;
  const size = layouts.of('m').sizeBytes;
  for (let round = 0; ; round++) {
    const { machines } = readMachines(memory, layouts, globals);
    const last = machines.at(-1);
    const next = last === undefined ? memory.ptr(globals.allm) : memory.ptr(last.addr, globals.alllink);
    if (round === MAX_NEW_MACHINES || next === 0 || memory.has(next, size)) {
      // With a planned M, all that belongs to it was planned.
      const unplanned = machines.filter(({ addr }) => late.plan.records.offsetOf(addr, size) < 0);
      late.readMissing(unplanned.flatMap((m) => machineRanges(late.program, m)));
      return machines;
    }
    late.read([{ lo: next, hi: plus(next, size) }]);
  }
}

import { onFault, type Memory } from '../../snapshots/memory.js';
import type { Globals } from './globals.js';
import type { Layouts } from './layouts.js';

/** runtime.sched (schedt in runtime2.go): the scheduler's own counts. */
export interface Sched {
  /** Goroutines in the global run queue. */
  readonly runqsize: number;
  /** Idle Ms. */
  readonly nmidle: number;
  /** Idle Ps. */
  readonly npidle: number;
  /** Ms that look for work. */
  readonly nmspinning: number;
  /** True while a garbage collection waits for the world to stop. */
  readonly gcwaiting: boolean;
}

/** Throws MemoryFault where it is absent. */
export function readSched(memory: Memory, layouts: Layouts, { sched }: Globals): Sched {
  const layout = layouts.of('schedt');
  const { field, offset } = layouts.release.globalQueueLength;
  return {
    runqsize: memory.i32(sched, layout.offset(field) + offset),
    nmidle: memory.i32(sched, layout.offset('nmidle')),
    npidle: memory.i32(sched, layout.offset('npidle')),
    nmspinning: memory.i32(sched, layout.offset('nmspinning')),
    gcwaiting: memory.u8(sched, layout.offset('gcwaiting')) !== 0,
  };
}

/** What the garbage collector does. While it is `off` it may still sweep. */
export type GcPhase = 'off' | 'mark' | 'mark termination';

/** _GCoff, _GCmark and _GCmarktermination (mgc.go), by number. */
export const GC_PHASES: readonly GcPhase[] = ['off', 'mark', 'mark termination'];

/** null where the variable was not found, is not in the image, or does not hold a phase. */
export function readGcPhase(memory: Memory, { gcphase }: Globals): GcPhase | null {
  if (gcphase === null) return null;
  return onFault(
    () => GC_PHASES[memory.u32(gcphase)] ?? null,
    () => null,
  );
}

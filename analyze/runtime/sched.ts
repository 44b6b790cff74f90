import { MemoryFault, type Memory } from '../../snapshots/memory.js';
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
  /** gQueue.size took the place of runqsize in Go 1.25; it lies behind head and tail. */
  const runqsize = layout.optional('runqsize') ?? layout.offset('runq') + 16;
  return {
    runqsize: memory.i32(sched, runqsize),
    nmidle: memory.i32(sched, layout.offset('nmidle')),
    npidle: memory.i32(sched, layout.offset('npidle')),
    nmspinning: memory.i32(sched, layout.offset('nmspinning')),
    gcwaiting: memory.u8(sched, layout.offset('gcwaiting')) !== 0,
  };
}

/** What the garbage collector does: between collections it may still sweep. */
export type GcPhase = 'off' | 'mark' | 'mark termination';

/** _GCoff and its like (mgc.go, 1.12+). */
const PHASES: readonly GcPhase[] = ['off', 'mark', 'mark termination'];

/** null where the variable was not found, is not in the image, or holds no phase. */
export function readGcPhase(memory: Memory, { gcphase }: Globals): GcPhase | null {
  if (gcphase === null) return null;
  try {
    return PHASES[memory.u32(gcphase)] ?? null;
  } catch (error) {
    if (error instanceof MemoryFault) return null;
    throw error;
  }
}

import type { Addr } from '../snapshots/address.js';
import type { GoProgram } from './program.js';
import type { Answer } from './report/answer.js';
import type { G } from './runtime/goroutine.js';
import type { M } from './runtime/machine.js';
import type { KnownStack } from './stack-ids.js';
import type { PhysicalFrame } from './stacks/step.js';

/** A report, and the memory that it reads. */
export interface Analysis {
  readonly name: string;
  /**
   * What it reads besides the runtime's records (globals, allgs, every g, M and P, sched) and the stacks in use, which
   * every snapshot holds: runtimeRanges and usedStacks in memory-ranges.ts.
   */
  readonly reads: readonly Reads[];
  /** The whole report, held in memory. */
  readonly answer: (program: GoProgram) => Answer<unknown>;
}

/**
 * Memory that reports read, as functions that read just that: run over memory that records its reads, they yield what a
 * snapshot must hold. They may throw MemoryFault; reports on the snapshot say then what is missing.
 */
export interface Reads {
  /**
   * Memory whose size does not depend on the number of goroutines. It is read while the process runs, and what the
   * process can write of it once more in the stop.
   */
  readonly fixed?: readonly ((program: GoProgram) => unknown)[];
  /**
   * What a field of a goroutine points to, which never changes once the field is set. It is read while the process runs,
   * and in the stop where the field changed since.
   */
  readonly pointed?: { readonly field: PointerField; readonly read: (program: GoProgram, at: Addr) => unknown };
  /** For one goroutine and its stack after another, what the process cannot write: it is read after the process was let go. */
  readonly goroutine?: (program: GoProgram) => GoroutineReads;
  /** The same for the types of the values of channels that goroutines wait on: for each type once. */
  readonly elemType?: (program: GoProgram) => (type: Addr) => unknown;
  /** The same for the places in the code where frames of goroutines stand, of which many have the same: for each place once. */
  readonly place?: (program: GoProgram) => (place: Pick<PhysicalFrame, 'point' | 'trap'>) => unknown;
  /** The same for threads. */
  readonly thread?: (program: GoProgram) => (m: M) => unknown;
  /**
   * What the code of a goroutine's frames names that the process can write: globals, and what they point to. It is read while
   * the process runs, of some goroutines of each kind; and once more in the stop, but for what is on stacks.
   */
  readonly named?: (program: GoProgram) => (g: G) => unknown;
}

/** Reads what one goroutine leads to. */
export interface GoroutineReads {
  readonly read: (g: G, stack: KnownStack) => unknown;
  /**
   * False where all of it is the same for goroutines with this stack that the same go statement started and that have neither
   * deferred calls on a list nor ancestors. Absent: it always is, but for the types of channels.
   */
  readonly mayDiffer?: (stack: KnownStack) => boolean;
}

/** Fields of a goroutine that point to memory of their own; 0 where there is none. */
export type PointerField = 'labels' | 'ancestors';

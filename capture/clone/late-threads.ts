import { RED_ZONE, positionsOf, type ThreadPosition } from '../../analyze/runtime/memory-ranges.js';
import { plus, type Addr } from '../../snapshots/address.js';
import type { Segment } from '../../snapshots/memory.js';
import { ThreadStacks } from '../copy/thread-stacks.js';
import type { Pinned } from '../libc.js';
import type { LiveProcess } from '../process/live-process.js';
import type { StoppedThread } from '../ptrace/tracee.js';

/** Kept of each stack: more than the kernel writes for a signal handler, with the red zone below the stack pointer. */
const KEPT_BYTES = 16 << 10;

/**
 * Threads that trapped after the process was cloned, with the innermost part of their stacks as it was then. The kernel may
 * have been starting a signal handler when the thread was asked to stop: then its frame was written after the clone was made.
 */
export class LateThreads {
  readonly namespaceTid: (tid: number) => number;
  readonly #positions: ThreadPosition[] = [];
  readonly #stacks: ThreadStacks;
  /** The thread whose stacks are being read. */
  #current = -1;

  constructor(target: LiveProcess, namespaceTid: (tid: number) => number) {
    this.namespaceTid = namespaceTid;
    this.#stacks = new ThreadStacks(target);
  }

  /** Keeps a thread that stands still. */
  add(thread: StoppedThread): void {
    for (const position of positionsOf([thread], ({ tid }) => this.namespaceTid(tid))) {
      const lo = Math.max(0, position.sp - RED_ZONE) as Addr;
      this.#stacks.read([{ lo, hi: plus(lo, KEPT_BYTES) }]);
      this.#positions.push(position);
    }
  }

  /** What was kept of the stacks. */
  get stacks(): readonly Segment[] {
    return this.#stacks.segments;
  }

  /** Calls `read` for each thread; {@link overlay} uses what was kept of that one meanwhile. */
  forEach(read: (position: ThreadPosition) => void): void {
    for (const [i, position] of this.#positions.entries()) {
      this.#current = i;
      read(position);
    }
    this.#current = -1;
  }

  /** Puts what was kept over `length` bytes of the clone that were read from `addr` on. Returns `length`. */
  overlay(addr: number, into: Pinned, offset: number, length: number): number {
    const kept = this.#stacks.segments[this.#current];
    if (kept === undefined) return length;
    const lo = Math.max(addr, kept.addr);
    const hi = Math.min(addr + length, kept.addr + kept.bytes.length);
    if (lo < hi) into.bytes.set(kept.bytes.subarray(lo - kept.addr, hi - kept.addr), offset + lo - addr);
    return length;
  }
}

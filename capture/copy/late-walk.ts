import type { MovedWalk } from '../../analyze/runtime/moved-walk.js';
import type { CopiedMemory, CopiedParts } from '../../analyze/runtime/pointer-walk.js';
import type { Addr } from '../../snapshots/address.js';
import type { MemorySource, Range, Window } from '../../snapshots/memory.js';
import type { LateReads } from './late-reads.js';
import type { RunSource } from './run-source.js';
import type { ReadStack } from './stack-batches.js';

/** Steps along the list of a select's cases: what is known says where to read next. */
const MAX_ROUNDS = 64;

/**
 * Reads what a walk comes upon and was not copied yet, round by round: all that one round misses in one go. Returns false if
 * `deadline` (of performance.now()) came first.
 */
export function readWalk(late: LateReads, walk: MovedWalk, { records }: CopiedParts, deadline: number): boolean {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    if (walk.follow(records)) return true;
    if (performance.now() >= deadline) return false;
    late.readForWalk(walk.missing);
  }
  return true;
}

type CopiedSource = Pick<RunSource, 'view' | 'offsetOf'>;

/** Planned runs that were read in this stop, and what was read late. */
export class CopiedRuns implements CopiedMemory {
  view: DataView;
  readonly #planned: readonly CopiedSource[];
  readonly #late: CopiedMemory;

  constructor(planned: readonly [CopiedSource, ...CopiedSource[]], late: CopiedMemory) {
    this.view = planned[0].view;
    this.#planned = planned;
    this.#late = late;
  }

  find(at: number, length: number): number {
    const planned = this.#planned;
    for (let i = 0; i < planned.length; i++) {
      const source = planned[i];
      const offset = source === undefined ? -1 : source.offsetOf(at, length);
      if (source === undefined || offset < 0) continue;
      this.view = source.view;
      return offset;
    }
    const offset = this.#late.find(at, length);
    if (offset >= 0) this.view = this.#late.view;
    return offset;
  }
}

/** A stack that was just read. */
export class OneStack implements CopiedMemory, MemorySource {
  #stack: ReadStack = { owner: -1, addr: 0, bytes: new Uint8Array(0) };

  set(stack: ReadStack): void {
    this.#stack = stack;
  }

  find(at: number, length: number): number {
    const { addr, bytes } = this.#stack;
    return at >= addr && at + length <= addr + bytes.length ? at - addr : -1;
  }

  get view(): DataView {
    const { bytes } = this.#stack;
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  window(at: number): Window | null {
    const { addr, bytes } = this.#stack;
    const hi = addr + bytes.length;
    return at >= addr && at < hi ? { lo: addr, hi, view: this.view } : null;
  }

  *ranges(lo: number, hi: number): Iterable<Range> {
    const { addr, bytes } = this.#stack;
    const [from, to] = [Math.max(lo, addr), Math.min(hi, addr + bytes.length)];
    if (from < to) yield { lo: from as Addr, hi: to as Addr };
  }
}

import { NIL, plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import type { GoRuntime } from './go-runtime.js';
import type { G } from './goroutine.js';
import type { Layouts } from './layouts.js';
import { stackWords } from './wait-records.js';

/** The wait reason of netpollblock (netpoll.go). */
export const IO_REASON = 'IO wait';
/** Bytes from the stack pointer up in which netpollblock and its callers keep the pollDesc. */
export const POLL_STACK = 512;
/** Nobody has as many descriptors: a larger number is damage. */
export const MAX_FD = 2 ** 24;

/** The smallest page that a CPU has, in bytes. */
const PAGE = 4096;

/** What runtime.pollDesc (netpoll.go) says of a goroutine that waits until it can read from a descriptor, or write to it. */
export interface PollWait {
  /** The pollDesc. */
  readonly addr: Addr;
  readonly fd: number;
  readonly op: 'read' | 'write';
  /** When the wait is given up, as nanotime() counts: 0 if never, negative if that is past. */
  readonly deadline: number;
}

/** Byte offsets in a pollDesc. */
export interface PollDescOffsets {
  readonly fd: number;
  /** The goroutine that waits to read, and to write; or a small number. */
  readonly rg: number;
  readonly wg: number;
  /** The deadlines of both. */
  readonly rd: number;
  readonly wd: number;
  /** The address of the pollDesc itself; null before Go 1.15.4. */
  readonly self: number | null;
}

export function pollDescOffsets(layouts: Layouts): PollDescOffsets {
  const layout = layouts.of('pollDesc');
  return {
    fd: layout.offset('fd'),
    rg: layout.offset('rg'),
    wg: layout.offset('wg'),
    rd: layout.offset('rd'),
    wd: layout.offset('wd'),
    self: layout.optional('self'),
  };
}

/** The heap grows by arenas, which are aligned to their size in bytes (heapArenaBytes in malloc.go). */
const HEAP_ARENA = 2 ** 26;

/**
 * Tells what cannot be a pollDesc without a look at it: an address in the Go program's file, or in the heap, as far as the
 * first g and the last reach in it. The runtime has pollDescs in memory of its own (persistentalloc in malloc.go).
 */
export class PollDescPlaces {
  readonly #file: Range;
  readonly #heap: Range;

  /** `gs` has the gs of all goroutines. */
  constructor({ code }: Pick<GoRuntime, 'code'>, gs: Range) {
    const module = code.modules[0]?.module;
    this.#file = { lo: module?.text ?? NIL, hi: module?.data.at(-1)?.hi ?? NIL };
    this.#heap = { lo: (gs.lo - (gs.lo % HEAP_ARENA)) as Addr, hi: plus(gs.hi, HEAP_ARENA - (gs.hi % HEAP_ARENA)) };
  }

  has(word: number): boolean {
    const [file, heap] = [this.#file, this.#heap];
    return !(word >= file.lo && word < file.hi) && !(word >= heap.lo && word < heap.hi);
  }
}

/** Finds the descriptors that goroutines wait for. What it reads, a capture copies: wait-walk.ts goes the same way. */
export class PollDescReader {
  readonly #program: GoRuntime;
  readonly #at: PollDescOffsets;
  readonly #sizeBytes: number;
  readonly #places: PollDescPlaces | null;

  /** `places`, if given, spare looks at what cannot be a pollDesc. */
  constructor(program: GoRuntime, places: PollDescPlaces | null = null) {
    this.#program = program;
    this.#places = places;
    this.#at = pollDescOffsets(program.layouts);
    this.#sizeBytes = program.layouts.of('pollDesc').sizeBytes;
  }

  /** What a goroutine waits for whose wait reason is {@link IO_REASON}; null where that is absent or damaged. */
  waitOf(g: G): PollWait | null {
    const { memory } = this.#program;
    // Most words point elsewhere: what is there is no part of what a snapshot needs.
    for (const word of stackWords(memory, g, POLL_STACK)) {
      if (this.#places?.has(word) === false) continue;
      const wait = this.#waitIn(memory.unrecorded, word, g.addr) === null ? null : this.#waitIn(memory, word, g.addr);
      if (wait !== null) return wait;
    }
    return null;
  }

  /** The part of a goroutine's stack that {@link waitOf} looks at. */
  framesOf({ stack, sched }: G): Range {
    return { lo: sched.sp as Addr, hi: Math.min(stack.hi, sched.sp + POLL_STACK) as Addr };
  }

  /** The pages that a pollDesc is in: the runtime has others beside it (pollcache.alloc), which goroutines wait for next. */
  pagesOf({ addr }: PollWait): Range {
    const last = plus(addr, this.#sizeBytes - 1);
    return { lo: plus(addr, -(addr % PAGE)), hi: plus(last, PAGE - (last % PAGE)) };
  }

  #waitIn(memory: Memory, addr: Addr, g: Addr): PollWait | null {
    return onFault(
      () => this.#read(memory, addr, g),
      () => null,
    );
  }

  /** null unless it is a pollDesc by which this goroutine waits. */
  #read(memory: Memory, addr: Addr, g: Addr): PollWait | null {
    const at = this.#at;
    const op = memory.word(addr, at.rg) === g ? 'read' : memory.word(addr, at.wg) === g ? 'write' : null;
    if (op === null || (at.self !== null && memory.word(addr, at.self) !== addr)) return null;
    const fd = memory.word(addr, at.fd);
    if (fd >= MAX_FD || !memory.has(addr, this.#sizeBytes)) return null;
    const deadline = op === 'read' ? at.rd : at.wd;
    return { addr, fd, op, deadline: memory.i32(addr, deadline + 4) < 0 ? -1 : memory.word(addr, deadline) };
  }
}

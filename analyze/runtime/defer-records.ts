import { NIL, plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import { wordAt } from '../../snapshots/bytes.js';
import { RangeList } from '../../snapshots/runs.js';
import type { GoRuntime } from './go-runtime.js';
import type { G } from './goroutine.js';
import type { Layouts } from './layouts.js';
import type { CopiedParts, PointerWalk } from './pointer-walk.js';
import type { ReadFirst } from './wait-plan.js';

/** More deferred calls than any goroutine of interest has. */
const MAX_RECORDS = 1000;
/** Words of arguments that are saved for one call. */
const MAX_ARGUMENTS = 64;
/** Bytes of a closure that are of interest: its code, and the first things that it has captured. */
const CLOSURE = 64;
const WORD = 8;

/** A deferred call as its record has it (_defer in runtime2.go). */
export interface DeferRecord {
  readonly addr: Addr;
  /** The funcval; 0 for calls that are coded into the function. */
  readonly fn: Addr;
  /** The stack pointer of the frame that deferred it. */
  readonly sp: number;
  /** Whether a panic or Goexit has begun the call, and keeps its record until it returns: until Go 1.21. */
  readonly started: boolean;
  /** The record of the call that was deferred before it; 0 at the end. */
  readonly link: Addr;
  /** Bytes of arguments that follow the record (until Go 1.17). */
  readonly savedBytes: number;
}

/** Where things lie in a _defer. */
class Offsets {
  readonly sizeBytes: number;
  readonly fn: number;
  readonly sp: number;
  readonly link: number;
  /** True once the call has begun in a panic or Goexit: until Go 1.21. */
  readonly started: number | null;
  /** Bytes of the arguments that follow the record: until Go 1.17. */
  readonly siz: number | null;
  /** True for a record that stands for the calls that are coded into a function: Go 1.14 to 1.21. */
  readonly openDefer: number | null;

  constructor(layouts: Layouts) {
    const layout = layouts.of('_defer');
    this.sizeBytes = layout.sizeBytes;
    this.fn = layout.offset('fn');
    this.sp = layout.offset('sp');
    this.link = layout.offset('link');
    this.started = layout.optional('started');
    this.siz = layout.optional('siz');
    this.openDefer = layout.optional('openDefer');
  }
}

/**
 * Reads the records of deferred calls. They lie on the goroutine's own stack, but for all of Go 1.12 and those of loops in
 * every release, which lie in the heap (newdefer in panic.go).
 */
export class DeferReader {
  readonly #memory: Memory;
  readonly #head: number;
  readonly #at: Offsets;

  constructor({ memory, layouts }: Pick<GoRuntime, 'memory' | 'layouts'>) {
    this.#memory = memory;
    this.#head = layouts.of('g').offset('_defer');
    this.#at = new Offsets(layouts);
  }

  /** The record of the call that a goroutine deferred last; 0 where it has none. Throws MemoryFault. */
  first(g: Addr): Addr {
    return this.#memory.ptr(g, this.#head);
  }

  /** The same; also 0 where that cannot be read. */
  firstOrNil(g: Addr): Addr {
    return onFault(
      () => this.first(g),
      () => NIL,
    );
  }

  /** null where it cannot be read. */
  read(addr: Addr): DeferRecord | null {
    return onFault<DeferRecord, null>(
      () => this.#read(addr),
      () => null,
    );
  }

  #read(addr: Addr): DeferRecord {
    const at = this.#at;
    const memory = this.#memory;
    const isCoded = at.openDefer !== null && memory.u8(addr, at.openDefer) !== 0;
    return {
      addr,
      fn: isCoded ? NIL : memory.ptr(addr, at.fn),
      sp: memory.word(addr, at.sp),
      started: at.started !== null && memory.u8(addr, at.started) !== 0,
      link: memory.ptr(addr, at.link),
      savedBytes: at.siz === null ? 0 : Math.min(MAX_ARGUMENTS * WORD, memory.u32(addr, at.siz)),
    };
  }

  /** Those of a goroutine, the latest first, as far as they can be read. */
  *of(g: Addr): Iterable<DeferRecord> {
    const seen = new Set<Addr>();
    let addr = this.firstOrNil(g);
    while (addr !== 0 && !seen.has(addr) && seen.size < MAX_RECORDS) {
      seen.add(addr);
      const record = this.read(addr);
      if (record === null) return;
      yield record;
      addr = record.link;
    }
  }

  /** The words of arguments that follow a record. Throws MemoryFault. */
  saved({ addr, savedBytes }: DeferRecord): number[] {
    const first = plus(addr, this.#at.sizeBytes);
    return Array.from({ length: Math.floor(savedBytes / WORD) }, (_, i) => this.#memory.word(first, WORD * i));
  }

  /** Where a record lies. */
  range(addr: Addr): Range {
    return { lo: addr, hi: plus(addr, this.#at.sizeBytes) };
  }

  /** What a record leads to: the arguments behind it, and the closure of the call. */
  *parts({ addr, fn, savedBytes }: DeferRecord): Iterable<Range> {
    const end = plus(addr, this.#at.sizeBytes);
    if (savedBytes > 0) yield { lo: end, hi: plus(end, savedBytes) };
    if (fn !== 0) yield { lo: fn, hi: plus(fn, CLOSURE) };
  }
}

/** Adds to `out` the records of deferred calls of some goroutines that are not on their own stacks, and what they lead to. */
export function addDeferRecords(
  program: GoRuntime,
  goroutines: readonly G[],
  readFirst: ReadFirst,
  out: RangeList,
): void {
  const heads = new DeferReader(program);
  let todo: { readonly stack: G['stack']; readonly at: Addr }[] = [];
  for (const { addr, stack } of goroutines) {
    const at = heads.firstOrNil(addr);
    if (at !== 0) todo.push({ stack, at });
  }
  for (let round = 0; todo.length > 0 && round < MAX_RECORDS; round++) {
    const wanted = new RangeList(todo.map(({ at }) => heads.range(at)));
    const records = new DeferReader(readFirst(program, wanted, 'defers'));
    todo = todo.flatMap(({ stack, at }) => {
      const record = records.read(at);
      if (record === null) return [];
      if (!isWithin(at, stack.lo, stack.hi))
        for (const { lo, hi } of [records.range(at), ...records.parts(record)]) out.add(lo, hi);
      return record.link === 0 ? [] : [{ stack, at: record.link }];
    });
  }
}

/** Copies in the stop what {@link DeferReader} reads of goroutines that moved, beside their stacks. */
export class DeferWalk {
  readonly #head: number;
  readonly #stack: number;
  readonly #at: Offsets;

  constructor(layouts: Layouts) {
    const g = layouts.of('g');
    this.#head = g.offset('_defer');
    this.#stack = g.offset('stack');
    this.#at = new Offsets(layouts);
  }

  /** True if a goroutine has deferred calls. Its g lies at the offset `g` of `view`. */
  hasRecords(view: DataView, g: number): boolean {
    return wordAt(view, g + this.#head) !== 0;
  }

  /** Has a walk go to the records of a goroutine that are not on its stack. Its g lies at the offset `g` of `view`. */
  start(walk: PointerWalk, { stacks }: CopiedParts, view: DataView, g: number): void {
    let record = wordAt(view, g + this.#head);
    if (record === 0) return;
    const [lo, hi] = [wordAt(view, g + this.#stack), wordAt(view, g + this.#stack + 8)];
    for (let count = 0; isWithin(record, lo, hi); count++) {
      const offset = stacks.find(record, this.#at.sizeBytes);
      if (offset < 0 || count === MAX_RECORDS) return;
      record = wordAt(stacks.view, offset + this.#at.link);
    }
    walk.want(this.#record, record, this.#at.sizeBytes, 0, MAX_RECORDS);
  }

  readonly #record = (walk: PointerWalk): void => {
    const { view, offset, at, length, left } = walk;
    walk.keep(at, length);
    const { siz, sizeBytes, fn, link } = this.#at;
    if (siz !== null)
      walk.want(this.#leaf, at + sizeBytes, Math.min(MAX_ARGUMENTS * WORD, view.getUint32(offset + siz, true)));
    walk.want(this.#leaf, wordAt(view, offset + fn), CLOSURE);
    if (left > 1) walk.want(this.#record, wordAt(view, offset + link), sizeBytes, 0, left - 1);
  };

  readonly #leaf = (walk: PointerWalk): void => walk.keep(walk.at, walk.length);
}

function isWithin(at: number, lo: number, hi: number): boolean {
  return at >= lo && at < hi;
}

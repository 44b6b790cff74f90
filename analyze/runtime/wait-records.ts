import { plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import { RangeList } from '../../snapshots/runs.js';
import type { GoRuntime } from './go-runtime.js';
import type { G } from './goroutine.js';
import { SudogReader, type Sudog } from './sudog.js';

/** Up to Go 1.25, the sudog of a goroutine with such a reason is only on its own stack (semacquire1, notifyListWait in sema.go). */
export const SEMAPHORE_REASONS = /^(semacquire|sync\.)/;
export const COND_REASON = 'sync.Cond.Wait';
/** Bytes from the stack pointer up in which semacquire1, or sync.Cond.Wait above it, keeps what it waits for. */
export const SCANNED_STACK = 1024;
/** Cases of a select that are followed. */
export const MAX_CASES = 1024;
/** Waiters of one sync.Cond that are searched for a goroutine. */
export const MAX_QUEUE = 1024;
/** Bytes around a semaphore or notifyList that hold sync's Mutex, RWMutex, WaitGroup or Cond in every release. */
export const BEFORE_SEMAPHORE = 16;
export const AFTER_SEMAPHORE = 40;
/** Offset of sync.Cond.notify, which follows an interface (cond.go); of head and tail in it (notifyList in sema.go). */
export const COND_NOTIFY = 16;
export const NOTIFY_HEAD = 16;
export const NOTIFY_TAIL = 24;
export const NOTIFY_SIZE = 32;
/** A program has no memory below the first, and user space ends at the second. */
export const LOWEST = 0x10000;
const HIGHEST = 2 ** 47;

/** What a goroutine waits for. */
export interface WaitsFor {
  /** One for each channel; exactly one for a semaphore or a sync.Cond. */
  readonly sudogs: readonly Sudog[];
  /** The semaphore in a sync.Mutex, RWMutex or WaitGroup, or the notifyList in a sync.Cond; 0 for channels. */
  readonly sync: Addr;
}

/** True for a goroutine that waits; also if the garbage collector found that nothing can wake it (_Gleaked since Go 1.26). */
export function isBlocked({ status }: Pick<G, 'status'>): boolean {
  return status === 'waiting' || status === 'leaked';
}

/** Finds what goroutines wait for. What it reads, a capture copies in the stop: wait-walk.ts goes the same way. */
export class WaitReader {
  readonly #program: GoRuntime;
  readonly #sudogs: SudogReader;
  /** For words that may point elsewhere: what is there is no part of what a snapshot needs. */
  readonly #unrecorded: SudogReader;
  readonly #waiting: number;
  readonly #hchanSize: number;
  /** By wait reason. */
  readonly #semaphores: ('semaphore' | 'cond' | null)[] = [];

  constructor(program: GoRuntime) {
    this.#program = program;
    this.#sudogs = new SudogReader(program.memory, program.layouts);
    this.#unrecorded = new SudogReader(program.memory.unrecorded, program.layouts);
    this.#waiting = program.layouts.of('g').offset('waiting');
    this.#hchanSize = program.layouts.of('hchan').sizeBytes;
  }

  /** null if the goroutine waits for none of these. What is absent or damaged is left out. */
  waitsFor(g: G): WaitsFor | null {
    if (!isBlocked(g)) return null;
    const sudogs = this.#listed(g);
    const onSemaphore = this.#semaphore(g.waitreason);
    if (onSemaphore === null) return sudogs.length === 0 ? null : { sudogs, sync: 0 as Addr };
    const onCond = onSemaphore === 'cond';
    const sudog = sudogs[0] ?? this.#onStack(g, onCond);
    if (sudog === null) return null;
    const sync = onCond && sudog.elem === 0 ? this.#condOf(g, sudog) : sudog.elem;
    return { sudogs: [sudog], sync };
  }

  /** What goroutines with a wait reason wait for, if it is a semaphore or a sync.Cond. */
  #semaphore(waitreason: number): 'semaphore' | 'cond' | null {
    let known = this.#semaphores[waitreason];
    if (known === undefined) {
      const reason = this.#program.waitReasons.at(waitreason) ?? '';
      known = reason === COND_REASON ? 'cond' : SEMAPHORE_REASONS.test(reason) ? 'semaphore' : null;
      this.#semaphores[waitreason] = known;
    }
    return known;
  }

  /** The first sudogs that goroutines wait in, by the addresses of their gs. What is absent or damaged is left out. */
  headsOf(goroutines: Float64Array): RangeList {
    const out = new RangeList();
    const { memory } = this.#program;
    for (const g of goroutines) {
      const head = memory.wordOr0(g as Addr, this.#waiting);
      if (head >= LOWEST && head < HIGHEST) out.add(head, head + this.#sudogs.sizeBytes);
    }
    return out;
  }

  /** Adds the sudogs in which a goroutine waits, and the headers of the channels that it waits for. */
  addQueues({ sudogs }: WaitsFor, toSudogs: RangeList, toChannels: RangeList): void {
    for (const { addr, c } of sudogs) {
      toSudogs.add(addr, addr + this.#sudogs.sizeBytes);
      if (c !== 0) toChannels.add(c, c + this.#hchanSize);
    }
  }

  /** The words of the sync type, which other goroutines change while this one waits. */
  wordsOf({ sync }: WaitsFor): Range | null {
    return sync === 0 ? null : { lo: plus(sync, -BEFORE_SEMAPHORE), hi: plus(sync, AFTER_SEMAPHORE) };
  }

  /** The sudogs in the list that begins at g.waiting, up to the first that is absent or damaged. */
  #listed(g: G): Sudog[] {
    const out: Sudog[] = [];
    onFault(
      () => {
        let at = this.#program.memory.ptr(g.addr, this.#waiting);
        while (at !== 0 && out.length < MAX_CASES) {
          const sudog = this.#sudogs.read(at);
          if (sudog.g !== g.addr) break;
          out.push(sudog);
          // In a semaphore the next one is another goroutine's.
          at = sudog.c === 0 ? (0 as Addr) : sudog.waitlink;
        }
      },
      () => undefined,
    );
    return out;
  }

  /** The goroutine's sudog that its innermost frames point to, of a semaphore or a sync.Cond. */
  #onStack(g: G, onCond: boolean): Sudog | null {
    for (const word of stackWords(this.#program.memory, g, SCANNED_STACK)) {
      if (!this.#unrecorded.has(word)) continue;
      const sudog = onFault(
        () =>
          this.#unrecorded.goroutineOf(word) === g.addr && this.#sudogs.has(word) ? this.#sudogs.read(word) : null,
        () => null,
      );
      if (sudog !== null && isInUse(sudog.elem, sudog.c, onCond)) return sudog;
    }
    return null;
  }

  /** The notifyList that holds a sudog, of a sync.Cond that the innermost frames point to; 0 if there is none. */
  #condOf(g: G, { addr }: Sudog): Addr {
    const { memory } = this.#program;
    for (const word of stackWords(memory, g, SCANNED_STACK)) {
      for (const list of [word, plus(word, COND_NOTIFY)]) {
        if (holds(memory.unrecorded, this.#unrecorded, list, addr) && holds(memory, this.#sudogs, list, addr))
          return list;
      }
    }
    return 0 as Addr;
  }
}

/** True if the notifyList at an address holds a sudog. */
function holds(memory: Memory, sudogs: SudogReader, list: Addr, wanted: Addr): boolean {
  return onFault(
    () => {
      const tail = memory.ptr(list, NOTIFY_TAIL);
      let found = false;
      for (let at = memory.ptr(list, NOTIFY_HEAD), i = 0; at !== 0 && i < MAX_QUEUE; i++) {
        found ||= at === wanted;
        // The stack may also point into the middle of a list, from where nothing ends at the tail.
        if (at === tail) return found;
        at = sudogs.read(at).next;
      }
      return false;
    },
    () => false,
  );
}

/** Words of the innermost frames of a goroutine, of so many bytes, that may point to something other than its stack. */
export function* stackWords(memory: Memory, { stack, sched }: G, length: number): Iterable<Addr> {
  const hi = Math.min(stack.hi, sched.sp + length);
  if (sched.sp < stack.lo || sched.sp % 8 !== 0) return;
  for (let at = sched.sp; at + 8 <= hi; at += 8) {
    const word = memory.wordOr0(at as Addr);
    if (isOutside(word, stack.lo, stack.hi)) yield word as Addr;
  }
}

/** True for a word that may be the address of an object. */
export function mayPoint(word: number): boolean {
  return word >= LOWEST && word < HIGHEST && word % 8 === 0;
}

/** True for a word that may point to something other than the stack between `lo` and `hi`. */
export function isOutside(word: number, lo: number, hi: number): boolean {
  return mayPoint(word) && (word < lo || word >= hi);
}

/**
 * True if a goroutine may wait in a sudog, with these words, for a semaphore or a sync.Cond. Frames also point to sudogs that it
 * has given back: those still name it, but have lost their elem (releaseSudog in proc.go). So has one for a sync.Cond.
 */
export function isInUse(elem: number, c: number, onCond: boolean): boolean {
  return c === 0 && (elem !== 0 || onCond);
}

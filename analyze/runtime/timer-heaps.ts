import { NIL, plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Memory, type Range } from '../../snapshots/memory.js';
import type { GoRuntime } from './go-runtime.js';
import type { G } from './goroutine.js';
import type { Hchan } from './hchan.js';

/** Timers that are looked at: more are left out, with a warning. */
const MAX_TIMERS = 2 ** 17;
/** sizeof(time.Time), and the room for values in the channel of a time.Timer or time.Ticker (time/sleep.go, tick.go). */
const TIME_BYTES = 24;
const TIMER_CHANNEL_CAP = 1;
/** timersBucket.gp, the goroutine that works for it (time.go until Go 1.13). */
const BUCKET_GP = 8;
/** Bytes at the end of that goroutine's stack that hold its argument, the bucket. */
const ARGUMENTS = 64;

/** True for a channel that may be that of a timer which does not say so: before Go 1.23, or with GODEBUG=asynctimerchan=1. */
export function mayBeTimed({ timer, elemsize, dataqsiz }: Hchan): boolean {
  return timer === 0 && elemsize === TIME_BYTES && dataqsiz === TIMER_CHANNEL_CAP;
}

/** The timers of a program by the heaps that they are in: of each P since Go 1.14, in buckets before (time.go). */
export class TimerHeaps {
  readonly #program: GoRuntime;
  /** The function of the goroutines that work for buckets; null since there are none. */
  readonly #timerproc: Addr | null;
  readonly #arg: number;

  constructor(program: GoRuntime) {
    const { code, layouts } = program;
    this.#program = program;
    const name = 'runtime.timerproc';
    const entry = (): Addr => code.modules[0]?.named(new Set([name])).get(name)?.entry ?? NIL;
    this.#timerproc = layouts.release.timerHeap.of === 'bucket' ? onFault(entry, () => NIL) : null;
    // The data of an interface follows its type.
    this.#arg = layouts.of('timer').offset('arg') + 8;
  }

  /** True for goroutines that {@link arrays} must be given. */
  isAsked({ startpc }: G): boolean {
    return startpc !== 0 && startpc === this.#timerproc;
  }

  /** The arrays that the heaps lie in, and the buckets. `goroutines` has at least those that are asked for. */
  arrays(goroutines: Iterable<G>): { readonly arrays: readonly Range[]; readonly buckets: readonly Range[] } {
    const { memory, layouts, processors } = this.#program;
    const { slice, entryBytes } = layouts.release.timerHeap;
    const buckets = this.#timerproc === null ? [] : this.#buckets(goroutines);
    const owners = this.#timerproc === null ? processors.map(({ addr }) => plus(addr, this.#inP)) : buckets;
    const arrays: Range[] = [];
    let left = MAX_TIMERS;
    for (const owner of owners) {
      onFault(
        () => {
          const [data, length] = [memory.ptr(owner, slice), memory.word(owner, slice + 8)];
          const taken = Math.min(length, left);
          left -= taken;
          if (taken < length) this.#warnLeftOut();
          if (taken > 0) arrays.push({ lo: data, hi: plus(data, taken * entryBytes) });
        },
        () => undefined,
      );
    }
    return { arrays, buckets: buckets.map((lo) => ({ lo, hi: plus(lo, slice + 24) })) };
  }

  get #inP(): number {
    return this.#program.layouts.of('p').offset('timers');
  }

  #buckets(goroutines: Iterable<G>): Addr[] {
    const { memory } = this.#program;
    const out: Addr[] = [];
    for (const g of goroutines) {
      if (!this.isAsked(g)) continue;
      for (let at = plus(g.stack.hi, -ARGUMENTS); at < g.stack.hi; at = plus(at, 8)) {
        const bucket = onFault(
          () => memory.ptr(at),
          () => NIL,
        );
        if (belongsTo(memory.unrecorded, bucket, g) && belongsTo(memory, bucket, g)) out.push(bucket);
      }
    }
    return [...new Set(out)];
  }

  #warnLeftOut(): void {
    const message = `the program has more than ${MAX_TIMERS} timers: not all of them were looked at`;
    this.#program.warn({ code: 'timers-left-out', message });
  }

  /** The timers in an array, without those that are absent. */
  *timersIn({ lo, hi }: Range): Iterable<Addr> {
    const { memory, layouts } = this.#program;
    for (let at = lo; at < hi; at = plus(at, layouts.release.timerHeap.entryBytes)) {
      const timer = onFault(
        () => memory.ptr(at),
        () => NIL,
      );
      if (timer !== 0) yield timer;
    }
  }

  /** The channel that a timer sends on, or what else it has for its function; 0 where that is absent. */
  argOf(timer: Addr): Addr {
    return this.#argIn(this.#program.memory.unrecorded, timer);
  }

  /** True if a timer sends on a channel: as {@link argOf} says, but for one that counts. */
  sendsOn(timer: Addr, channel: Addr): boolean {
    return this.#argIn(this.#program.memory, timer) === channel;
  }

  #argIn(memory: Memory, timer: Addr): Addr {
    return onFault(
      () => memory.ptr(timer, this.#arg),
      () => NIL,
    );
  }
}

/** True if a goroutine works for what would be a bucket at an address. */
function belongsTo(memory: Memory, bucket: Addr, { addr }: G): boolean {
  return onFault(
    () => memory.word(bucket, BUCKET_GP) === addr,
    () => false,
  );
}

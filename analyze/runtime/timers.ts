import { NIL, plus, type Addr } from '../../snapshots/address.js';
import { onFault, type Range } from '../../snapshots/memory.js';
import type { GoRuntime } from './go-runtime.js';
import type { G } from './goroutine.js';
import { TimerHeaps } from './timer-heaps.js';

/** The wait reason of timeSleep (time.go). */
export const SLEEP_REASON = 'sleep';

/** timer.status by number (timerNoStatus and so on in time.go, 1.14 to 1.22): what it means; undefined while it changes. */
const STATUSES: readonly ('set' | 'moved' | 'stopped' | undefined)[] = [
  ...(['stopped', 'set', 'set', 'stopped', 'stopped', 'stopped', undefined, 'moved', 'moved', 'moved'] as const),
];

/** Reads when timers fire, as nanotime() counts. What it reads, a capture copies: wait-walk.ts goes the same way. */
export class TimerReader {
  readonly #program: GoRuntime;
  /** Offsets in a g; those of a bubble, which has a time of its own (synctest.go). */
  readonly #g;
  readonly #timer;
  #inHeaps: { readonly heaps: TimerHeaps; readonly ofChannels: ReadonlyMap<Addr, Addr> } | null = null;

  constructor(program: GoRuntime) {
    const [g, timer] = [program.layouts.of('g'), program.layouts.of('timer')];
    this.#program = program;
    this.#g = {
      timer: g.offset('timer'),
      sleepWhen: g.optional('sleepWhen'),
      bubble: g.optional('bubble') ?? g.optional('syncGroup'),
    };
    // Before Go 1.23, timeSleep sets nextwhen where there is one: `when` may lag behind it.
    this.#timer = {
      sizeBytes: timer.sizeBytes,
      sleep: timer.optional('nextwhen') ?? timer.offset('when'),
      when: timer.offset('when'),
      isFake: timer.optional('isFake'),
      status: timer.optional('status'),
      nextwhen: timer.optional('nextwhen'),
    };
  }

  /** The timer that says when a sleeping goroutine wakes; null if its g does. */
  sleepTimerOf({ addr }: G): Range | null {
    const { timer, sleepWhen } = this.#g;
    if (sleepWhen !== null) return null;
    return onFault(
      () => this.range(this.#program.memory.ptr(addr, timer)),
      () => null,
    );
  }

  /** The timer at an address. */
  range(timer: Addr): Range | null {
    return timer === 0 ? null : { lo: timer, hi: plus(timer, this.#timer.sizeBytes) };
  }

  /** When a goroutine wakes that is in time.Sleep; null where that is not known. */
  sleepOf({ addr }: G): number | null {
    const { memory } = this.#program;
    const { timer, sleepWhen, bubble } = this.#g;
    const when = onFault(
      () => {
        if (bubble !== null && memory.word(addr, bubble) !== 0) return 0;
        return sleepWhen === null
          ? memory.word(memory.ptr(addr, timer), this.#timer.sleep)
          : memory.word(addr, sleepWhen);
      },
      () => 0,
    );
    return when === 0 ? null : when;
  }

  /** When the timer of a channel (hchan.timer) fires: 0 if it does not; null where that is not known. */
  whenOf(timer: Addr): number | null {
    const { memory } = this.#program;
    const { when, isFake, status, nextwhen } = this.#timer;
    return onFault(
      () => {
        if (isFake !== null && memory.u8(timer, isFake) !== 0) return null;
        if (status === null || nextwhen === null) return memory.word(timer, when);
        const now = STATUSES[memory.u32(timer, status)];
        if (now === undefined) return null;
        return now === 'stopped' ? 0 : memory.word(timer, now === 'moved' ? nextwhen : when);
      },
      () => null,
    );
  }

  /**
   * The timer that sends on a channel, as far as heaps show it: for channels that {@link mayBeTimed}. 0 if there is none.
   */
  ofChannel(channel: Addr): Addr {
    const { heaps, ofChannels } = (this.#inHeaps ??= this.#searchHeaps());
    const timer = ofChannels.get(channel) ?? NIL;
    return timer !== 0 && heaps.sendsOn(timer, channel) ? timer : NIL;
  }

  #searchHeaps(): { heaps: TimerHeaps; ofChannels: Map<Addr, Addr> } {
    const heaps = new TimerHeaps(this.#program);
    const ofChannels = new Map<Addr, Addr>();
    for (const array of heaps.arrays(this.#program.goroutinesByAddress()).arrays) {
      for (const timer of heaps.timersIn(array)) ofChannels.set(heaps.argOf(timer), timer);
    }
    ofChannels.delete(NIL);
    return { heaps, ofChannels };
  }
}

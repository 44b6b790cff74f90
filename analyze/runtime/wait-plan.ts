import { NIL, type Addr } from '../../snapshots/address.js';
import type { Range } from '../../snapshots/memory.js';
import { RangeList } from '../../snapshots/runs.js';
import type { GoRuntime } from './go-runtime.js';
import type { G } from './goroutine.js';
import { HchanReader } from './hchan.js';
import { IO_REASON, PollDescPlaces, PollDescReader } from './poll-desc.js';
import { slotsOf } from './size-classes.js';
import { mayBeTimed, TimerHeaps } from './timer-heaps.js';
import { SLEEP_REASON, TimerReader } from './timers.js';
import { isBlocked, WaitReader } from './wait-records.js';

/**
 * Reads ranges of a program in one go, and returns the program over memory that has them. `what` they are: those of the same
 * kind that were read before are not needed any more.
 */
export type ReadFirst = (program: GoRuntime, ranges: RangeList, what: FirstRead) => GoRuntime;
type FirstRead = 'gs' | 'sudogs' | 'channels' | 'frames' | 'timers' | 'defers';

/** Finds, while the program runs, what goroutines wait in: what a capture reads before the stop. */
export class WaitPlan {
  /** The headers of channels, timers, the pages of pollDescs, and deferred calls. They stay valid for as long as the stacks do. */
  readonly queues = new RangeList();
  /** Sudogs, which do so too. */
  readonly #sudogs = new RangeList();
  /** The words of the mutexes and other sync types that goroutines wait for. */
  readonly syncWords = new RangeList();
  readonly #places: PollDescPlaces;
  readonly #readFirst: ReadFirst;
  readonly #heaps: TimerHeaps;
  readonly #sudogBytes: number;
  /** Goroutines that lead to heaps of timers. */
  readonly #askedForHeaps: G[] = [];
  /** Channels that timers may send on which only their heaps lead to. */
  readonly #timed = new Set<Addr>();

  /** `gs` has the gs of all goroutines. */
  constructor(program: GoRuntime, gs: Range, readFirst: ReadFirst) {
    this.#places = new PollDescPlaces(program, gs);
    this.#readFirst = readFirst;
    this.#heaps = new TimerHeaps(program);
    this.#sudogBytes = program.layouts.of('sudog').sizeBytes;
  }

  /** Adds what some goroutines wait in; `addresses` are those of their gs. */
  add(program: GoRuntime, addresses: Float64Array, goroutines: readonly G[]): void {
    const heads = new WaitReader(program).headsOf(addresses);
    const over = this.#readFirst(program, heads, 'sudogs');
    const [waits, timers] = [new WaitReader(over), new TimerReader(over)];
    const channels = new RangeList();
    const onDescriptors: G[] = [];
    for (const g of goroutines) {
      const reason = isBlocked(g) ? program.waitReasons.at(g.waitreason) : null;
      if (reason === IO_REASON) onDescriptors.push(g);
      else if (reason === SLEEP_REASON) this.#addQueue(timers.sleepTimerOf(g));
      else if (reason !== null) {
        const waitsFor = waits.waitsFor(g);
        if (waitsFor === null) continue;
        waits.addQueues(waitsFor, this.#sudogs, channels);
        const words = waits.wordsOf(waitsFor);
        if (words !== null) this.syncWords.add(words.lo, words.hi);
      }
    }
    this.#askedForHeaps.push(...goroutines.filter((g) => this.#heaps.isAsked(g)));
    this.queues.addAll(channels);
    this.#addTimers(over, channels);
    this.#addDescriptors(program, onDescriptors);
  }

  /** The sudogs, each with what is left of its slot, and the {@link queues}. */
  withSudogs(): RangeList {
    const out = new RangeList(slotsOf(this.#sudogs, this.#sudogBytes));
    out.addAll(this.queues);
    return out;
  }

  /** Adds the timers that only the heaps of timers lead to, once all goroutines were added. */
  addFromHeaps(program: GoRuntime): void {
    if (this.#timed.size === 0) return;
    const { arrays, buckets } = new TimerHeaps(program).arrays(this.#askedForHeaps);
    const withArrays = this.#readFirst(program, new RangeList(arrays), 'channels');
    const [inArrays, timers] = [new TimerHeaps(withArrays), new TimerReader(program)];
    const found = arrays.flatMap((array) => [...inArrays.timersIn(array)]);
    const ranges = new RangeList(found.flatMap((timer) => timers.range(timer) ?? []));
    const heaps = new TimerHeaps(this.#readFirst(withArrays, ranges, 'timers'));
    for (const [i, range] of [...ranges].entries()) {
      if (this.#timed.has(heaps.argOf(found[i] ?? NIL))) this.#addQueue(range);
    }
    for (const range of [...arrays, ...buckets]) this.#addQueue(range);
  }

  /** Adds the timers of channels. */
  #addTimers(program: GoRuntime, channels: RangeList): void {
    const over = this.#readFirst(program, channels, 'channels');
    const [reader, timers] = [new HchanReader(over.memory, over.layouts), new TimerReader(over)];
    for (const at of channels.lo) {
      const channel = reader.tryRead(at as Addr);
      if (channel === null) continue;
      if (mayBeTimed(channel)) this.#timed.add(at as Addr);
      this.#addQueue(timers.range(channel.timer));
    }
  }

  /** Adds the pollDescs by which goroutines wait. */
  #addDescriptors(program: GoRuntime, goroutines: readonly G[]): void {
    if (goroutines.length === 0) return;
    const frames = new RangeList();
    const where = new PollDescReader(program);
    for (const g of goroutines) frames.addAll([where.framesOf(g)]);
    const polls = new PollDescReader(this.#readFirst(program, frames, 'frames'), this.#places);
    for (const g of goroutines) {
      const wait = polls.waitOf(g);
      if (wait !== null) this.#addQueue(polls.pagesOf(wait));
    }
  }

  #addQueue(range: Range | null): void {
    if (range !== null) this.queues.add(range.lo, range.hi);
  }
}

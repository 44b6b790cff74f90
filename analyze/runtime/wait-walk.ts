import { wordAt } from '../../snapshots/bytes.js';
import type { Range } from '../../snapshots/memory.js';
import type { GoRuntime } from './go-runtime.js';
import { GOROUTINE_STATUSES, GSCAN } from './goroutine.js';
import { IO_REASON, POLL_STACK, PollDescPlaces, pollDescOffsets, type PollDescOffsets } from './poll-desc.js';
import { type CopiedMemory, type CopiedParts, type PointerWalk } from './pointer-walk.js';
import { SLEEP_REASON } from './timers.js';
import { sudogOffsets, type SudogOffsets } from './sudog.js';
import {
  AFTER_SEMAPHORE,
  BEFORE_SEMAPHORE,
  COND_NOTIFY,
  COND_REASON,
  isInUse,
  isOutside,
  MAX_CASES,
  MAX_QUEUE,
  mayPoint,
  NOTIFY_HEAD,
  NOTIFY_SIZE,
  NOTIFY_TAIL,
  SCANNED_STACK,
  SEMAPHORE_REASONS,
} from './wait-records.js';

const GWAITING = GOROUTINE_STATUSES.indexOf('waiting');
const GLEAKED = GOROUTINE_STATUSES.indexOf('leaked');
const STATUS = GSCAN - 1;
const REASONS = 256;
/** Types that are noted: programs have some hundreds, unless what was read is damaged. */
const MAX_TYPES = 1 << 14;

/** Steps along the lists of sync.Conds in one walk: this many, and so many more for each goroutine. */
const LIST_STEPS = MAX_QUEUE;
const LIST_STEPS_A_GOROUTINE = 16;

/** Bytes from the stack pointer of a goroutine up: `length` of them, from `offset` on. */
interface Frames {
  readonly frames: DataView;
  readonly offset: number;
  readonly length: number;
}

/**
 * Copies in the stop what WaitReader (wait-records.ts), PollDescReader and TimerReader read of goroutines that are not where
 * they were before it: sudogs, the headers of channels, the words of sync types, pollDescs and timers. It does not work out
 * what they mean, so it may copy more.
 */
export class WaitWalk {
  readonly #sudogSize: number;
  readonly #hchanSize: number;
  readonly #sudogAt: SudogOffsets;
  /** Offsets in a g. */
  readonly #at;
  readonly #timerSize: number;
  readonly #hchanTimer: number | null;
  readonly #pollDescSize: number;
  readonly #pollDescAt: PollDescOffsets;
  /** The g.timer of goroutines that sleep; null if their gs say until when. */
  readonly #sleepTimer: number | null;
  /** By wait reason, 1 if such a goroutine waits for a semaphore or a sync.Cond. */
  readonly #onSemaphore = new Uint8Array(REASONS);
  readonly #onCond = new Uint8Array(REASONS);
  /** ... for a descriptor, or sleeps. */
  readonly #onDescriptor = new Uint8Array(REASONS);
  readonly #asleep = new Uint8Array(REASONS);
  readonly #places: PollDescPlaces;
  readonly #hchanElemtype: number;
  /** The types of the values of the channels that walks came to, and the last of them. */
  readonly elemTypes = new Set<number>();
  #lastType = 0;
  #stepsLeft = 0;
  /** Bytes from the stack pointer of a goroutine in netpollblock to the address of its pollDesc; -1 until one was found. */
  #distance = -1;

  /** `gs` has all of the goroutines' gs. */
  constructor(program: GoRuntime, gs: Range) {
    const { layouts, waitReasons } = program;
    const g = layouts.of('g');
    this.#sudogSize = layouts.of('sudog').sizeBytes;
    this.#hchanSize = layouts.of('hchan').sizeBytes;
    this.#sudogAt = sudogOffsets(layouts);
    this.#at = {
      stack: g.offset('stack'),
      sp: g.offset('sched') + layouts.of('gobuf').offset('sp'),
      atomicstatus: g.offset('atomicstatus'),
      waitreason: g.offset('waitreason'),
      waiting: g.offset('waiting'),
    };
    for (let reason = 0; reason < REASONS; reason++) {
      const text = waitReasons.at(reason) ?? '';
      if (SEMAPHORE_REASONS.test(text)) this.#onSemaphore[reason] = 1;
      if (text === COND_REASON) this.#onCond[reason] = 1;
      if (text === IO_REASON) this.#onDescriptor[reason] = 1;
      if (text === SLEEP_REASON) this.#asleep[reason] = 1;
    }
    this.#timerSize = layouts.of('timer').sizeBytes;
    this.#hchanTimer = layouts.of('hchan').optional('timer');
    this.#hchanElemtype = layouts.of('hchan').offset('elemtype');
    this.#pollDescSize = layouts.of('pollDesc').sizeBytes;
    this.#pollDescAt = pollDescOffsets(layouts);
    this.#sleepTimer = g.has('sleepWhen') ? null : g.offset('timer');
    this.#places = new PollDescPlaces(program, gs);
  }

  /** Begins a walk from this many goroutines. */
  begin(goroutines: number): void {
    this.#stepsLeft = LIST_STEPS + LIST_STEPS_A_GOROUTINE * goroutines;
  }

  /** True if a goroutine waits. Its g lies at the offset `g` of `view`. */
  isWaiting(view: DataView, g: number): boolean {
    const status = view.getUint32(g + this.#at.atomicstatus, true) & STATUS;
    return status === GWAITING || status === GLEAKED;
  }

  /**
   * Has a walk go to what a goroutine waits for. Its g, which is at `address`, lies at the offset `g` of `view`. There is no
   * need to go to descriptors that were just read with all others.
   */
  start(
    walk: PointerWalk,
    { records, stacks }: CopiedParts,
    view: DataView,
    g: number,
    address: number,
    toDescriptors = true,
  ): void {
    const at = this.#at;
    if (!this.isWaiting(view, g)) return;
    const first = wordAt(view, g + at.waiting);
    if (first !== 0) {
      walk.want(this.#listed, first, this.#sudogSize, address, MAX_CASES);
      return;
    }
    const reason = view.getUint8(g + at.waitreason);
    const onDescriptor = this.#onDescriptor[reason] === 1;
    if (this.#asleep[reason] === 1 && this.#sleepTimer !== null)
      walk.want(this.#leaf, wordAt(view, g + this.#sleepTimer), this.#timerSize);
    if (this.#onSemaphore[reason] !== 1 && !(onDescriptor && toDescriptors)) return;
    const sp = wordAt(view, g + at.sp);
    const [lo, hi] = [wordAt(view, g + at.stack), wordAt(view, g + at.stack + 8)];
    const length = Math.min(hi - sp, onDescriptor ? POLL_STACK : SCANNED_STACK);
    const offset = sp < lo || sp % 8 !== 0 || length < 8 ? -1 : stacks.find(sp, length);
    if (offset < 0) return;
    const frames = stacks.view;
    if (onDescriptor) {
      this.#startAtDescriptor(walk, frames, offset, length, address, records);
      return;
    }
    const onCond = this.#onCond[reason] === 1;
    const innermost = { frames, offset, length };
    const known = this.#sudogIn(innermost, address, records, onCond);
    if (known !== 0 && !onCond) {
      walk.need(known, this.#sudogSize);
      const sudog = records.find(known, this.#sudogSize);
      this.#wantSync(walk, wordAt(records.view, sudog + this.#sudogAt.elem));
      return;
    }
    if (known !== 0 && this.#isListed(walk, innermost, known, records)) return;
    for (let i = 0; i + 8 <= length; i += 8) {
      const word = wordAt(frames, offset + i);
      if (!isOutside(word, lo, hi)) continue;
      walk.guess(this.#possible, word, this.#sudogSize, address);
      if (!onCond) continue;
      // The notifyList of a sync.Cond, or the sync.Cond.
      for (const list of [word, word + COND_NOTIFY])
        walk.guess(this.#possibleList, list - COND_NOTIFY, COND_NOTIFY + NOTIFY_SIZE);
    }
  }

  /** The goroutine's sudog, of a semaphore or a sync.Cond, if it is among what was copied; 0 if not. */
  #sudogIn({ frames, offset, length }: Frames, g: number, records: CopiedMemory, onCond: boolean): number {
    for (let i = 0; i + 8 <= length; i += 8) {
      const word = wordAt(frames, offset + i);
      if (!mayPoint(word)) continue;
      const sudog = records.find(word, this.#sudogSize);
      if (sudog < 0 || wordAt(records.view, sudog + this.#sudogAt.g) !== g) continue;
      const elem = wordAt(records.view, sudog + this.#sudogAt.elem);
      if (isInUse(elem, wordAt(records.view, sudog + this.#sudogAt.c), onCond)) return word;
    }
    return 0;
  }

  /**
   * Looks for the notifyList that holds a sudog among what was copied. If it is there, needs both and returns true. Where many wait
   * for one sync.Cond, lists are long: the search has a bound.
   */
  #isListed(walk: PointerWalk, { frames, offset, length }: Frames, sudog: number, records: CopiedMemory): boolean {
    for (let i = 0; i + 8 <= length; i += 8) {
      const word = wordAt(frames, offset + i);
      if (!mayPoint(word)) continue;
      // It points to the list, or to the sync.Cond that has it.
      for (let cond = word - COND_NOTIFY; cond <= word; cond += COND_NOTIFY) {
        if (!this.#holds(cond, sudog, records)) continue;
        walk.need(sudog, this.#sudogSize);
        walk.need(cond, COND_NOTIFY + NOTIFY_SIZE);
        return true;
      }
    }
    return false;
  }

  /** True if the list of a sync.Cond at an address holds a sudog, as far as that was copied. */
  #holds(cond: number, sudog: number, records: CopiedMemory): boolean {
    const at = records.find(cond, COND_NOTIFY + NOTIFY_SIZE);
    if (at < 0) return false;
    const tail = wordAt(records.view, at + COND_NOTIFY + NOTIFY_TAIL);
    let next = wordAt(records.view, at + COND_NOTIFY + NOTIFY_HEAD);
    let isHeld = false;
    for (let i = 0; mayPoint(next) && i < MAX_QUEUE && this.#stepsLeft > 0; i++) {
      this.#stepsLeft--;
      isHeld ||= next === sudog;
      if (next === tail) return isHeld;
      const one = records.find(next, this.#sudogSize);
      if (one < 0) return false;
      next = wordAt(records.view, one + this.#sudogAt.next);
    }
    return false;
  }

  /**
   * Looks for the goroutine's pollDesc among what was copied. All goroutines have it at the same distance from the stack
   * pointer, since all park in netpollblock: once that is known, nothing else is looked at. Until then, wants what the
   * frames point to where pollDescs may be: that is one or two.
   */
  #startAtDescriptor(
    walk: PointerWalk,
    frames: DataView,
    offset: number,
    length: number,
    g: number,
    records: CopiedMemory,
  ): void {
    const size = this.#pollDescSize;
    const known = this.#distance;
    const expected = known >= 0 && known + 8 <= length ? wordAt(frames, offset + known) : 0;
    if (this.#mayBePollDesc(expected)) {
      walk.guess(this.#possiblePollDesc, expected, size, g);
      return;
    }
    for (let i = 0; i + 8 <= length; i += 8) {
      const word = wordAt(frames, offset + i);
      if (!this.#mayBePollDesc(word)) continue;
      const at = records.find(word, size);
      if (at < 0) walk.guess(this.#possiblePollDesc, word, size, g);
      else if (this.#isPollDesc(records.view, at, g)) {
        walk.need(word, size);
        this.#distance = i;
        return;
      }
    }
  }

  #mayBePollDesc(word: number): boolean {
    return mayPoint(word) && this.#places.has(word);
  }

  /** What a word on the stack points to: a pollDesc, if the goroutine waits for it. */
  readonly #possiblePollDesc = (walk: PointerWalk): void => {
    if (this.#isPollDesc(walk.view, walk.offset, walk.of)) walk.keep(walk.at, walk.length);
  };

  #isPollDesc(view: DataView, offset: number, g: number): boolean {
    const { rg, wg } = this.#pollDescAt;
    return wordAt(view, offset + rg) === g || wordAt(view, offset + wg) === g;
  }

  /** A sudog in the list of g.waiting. */
  readonly #listed = (walk: PointerWalk): void => {
    const { view, offset, of, left } = walk;
    const at = this.#sudogAt;
    if (wordAt(view, offset + at.g) !== of) return;
    walk.keep(walk.at, walk.length);
    const c = wordAt(view, offset + at.c);
    if (c === 0) {
      this.#wantSync(walk, wordAt(view, offset + at.elem));
      return;
    }
    walk.want(this.#channel, c, this.#hchanSize);
    if (left > 1) walk.want(this.#listed, wordAt(view, offset + at.waitlink), this.#sudogSize, of, left - 1);
  };

  readonly #channel = (walk: PointerWalk): void => {
    walk.keep(walk.at, walk.length);
    this.#noteType(wordAt(walk.view, walk.offset + this.#hchanElemtype));
    if (this.#hchanTimer !== null)
      walk.want(this.#leaf, wordAt(walk.view, walk.offset + this.#hchanTimer), this.#timerSize);
  };

  #noteType(type: number): void {
    if (type === this.#lastType) return;
    this.#lastType = type;
    if (this.elemTypes.size < MAX_TYPES) this.elemTypes.add(type);
  }

  /** What a word on the stack points to: a sudog, if it is the goroutine's. */
  readonly #possible = (walk: PointerWalk): void => {
    const { view, offset, of } = walk;
    if (wordAt(view, offset + this.#sudogAt.g) !== of) return;
    walk.keep(walk.at, walk.length);
    this.#wantSync(walk, wordAt(view, offset + this.#sudogAt.elem));
  };

  /** What a word on the stack points to, or to the end of: the notifyList of a sync.Cond, if it may hold sudogs. */
  readonly #possibleList = (walk: PointerWalk): void => {
    const list = walk.offset + COND_NOTIFY;
    const [head, tail] = [wordAt(walk.view, list + NOTIFY_HEAD), wordAt(walk.view, list + NOTIFY_TAIL)];
    if (mayPoint(head) && mayPoint(tail)) walk.keep(walk.at, walk.length);
  };

  #wantSync(walk: PointerWalk, sync: number): void {
    if (sync > BEFORE_SEMAPHORE) walk.want(this.#leaf, sync - BEFORE_SEMAPHORE, BEFORE_SEMAPHORE + AFTER_SEMAPHORE);
  }

  readonly #leaf = (walk: PointerWalk): void => walk.keep(walk.at, walk.length);
}

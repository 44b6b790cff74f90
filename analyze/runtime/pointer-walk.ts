import { ADDR_LIMIT } from '../../snapshots/address.js';
import { RangeList, type Runs } from '../../snapshots/runs.js';

/** Memory as far as it was copied. */
export interface CopiedMemory {
  /** The offset in {@link view} of `length` bytes at an address; -1 unless all of them were copied. */
  find(at: number, length: number): number;
  /** What the last successful {@link find} found is in here. */
  readonly view: DataView;
}

/** What was copied of a program. */
export interface CopiedParts {
  /** The runtime's records, the queues, and what goroutines point to. */
  readonly records: CopiedMemory;
  readonly stacks: CopiedMemory;
}

/** What to do with an item whose bytes were copied: it calls {@link PointerWalk.want} with what they point to. */
export type Step = (walk: PointerWalk) => void;

/** The step of an item that points to nothing of interest. */
export const nothing: Step = () => undefined;

/** Steps of one walk: this many, and so many more for each goroutine. A walk that takes more is in a circle. */
const MOST_STEPS = 1 << 20;
const STEPS_A_GOROUTINE = 64;
/** What is read in one go: more is damage. */
const MOST_ITEMS = 1 << 20;
const MOST_BYTES = 1 << 26;

/**
 * Follows pointers from item to item through memory while a process stands still. What was not copied is collected, so that
 * all of it is read in one go, and then the walk goes on from there. Made for the stop: an item takes some tens of
 * nanoseconds, in arrays that are kept from stop to stop. Lists without an end are cut.
 */
export class PointerWalk {
  /** The item of the step under way: its bytes. */
  view: DataView = new DataView(new ArrayBuffer(0));
  offset = 0;
  at = 0;
  length = 0;
  /** What the item belongs to, as it was given to {@link want}. */
  of = 0;
  /** How many more items of a list may follow, as it was given to {@link want}. */
  left = 0;
  /** What {@link keep} was told. */
  readonly kept = new RangeList();
  /** What was found and is of use: all but the items of {@link guess} that their steps did not keep. */
  readonly needed = new RangeList();
  readonly #constants: Runs;
  #ready = new Items();
  #missing = new Items();
  #tried = new Items();
  #stepsLeft = 0;
  #bytesLeft = 0;
  #wasMissing = false;

  /** `constants` is the memory that the process cannot write: it can be read later. */
  constructor(constants: Runs) {
    this.#constants = constants;
  }

  /** True if the process cannot write the byte at an address. */
  isConstant(at: number): boolean {
    return this.#constants.indexOf(at) >= 0;
  }

  /** Begins a walk from this many goroutines. */
  begin(goroutines: number): void {
    for (const items of [this.#ready, this.#missing, this.#tried]) items.count = 0;
    this.kept.clear();
    this.needed.clear();
    this.#stepsLeft = MOST_STEPS + STEPS_A_GOROUTINE * goroutines;
    this.#bytesLeft = MOST_BYTES;
  }

  /** Has `step` done with `length` bytes at an address, as soon as they are copied. 0 is nil. */
  want(step: Step, at: number, length: number, of = 0, left = 0): void {
    if (at !== 0 && length > 0 && at < ADDR_LIMIT) this.#ready.push(step, false, at, length, of, left);
  }

  /** As {@link want}, where the item may be something else: `step` looks at it, and calls {@link keep} if it is what it should be. */
  guess(step: Step, at: number, length: number, of = 0): void {
    if (at !== 0 && length > 0 && at < ADDR_LIMIT) this.#ready.push(step, true, at, length, of, 0);
  }

  /**
   * In a step: notes that its item, if it had to be read, is of a kind that later stops will find in the same place, as sudogs
   * and channels are. It should be planned from now on.
   */
  keep(at: number, length: number): void {
    if (this.#wasMissing) this.kept.add(at, at + length);
    this.need(at, length);
  }

  /** Notes that what was copied there is of use. */
  need(at: number, length: number): void {
    this.needed.add(at, at + length);
  }

  /**
   * Goes as far as what was copied leads. What was missing before and still is cannot be read: it is given up. Returns true
   * if nothing is {@link missing} then.
   */
  follow(memory: CopiedMemory): boolean {
    const tried = this.#missing;
    this.#missing = this.#tried;
    this.#tried = tried;
    this.#wasMissing = true;
    while (tried.pop(this)) if (this.#find(memory)) tried.step(this);
    this.#wasMissing = false;
    const ready = this.#ready;
    while (ready.pop(this)) {
      if (this.#find(memory)) ready.step(this);
      else this.#miss(ready);
    }
    return this.#missing.count === 0;
  }

  /** What must be read before the walk can go on. */
  get missing(): RangeList {
    return this.#missing.ranges();
  }

  #find(memory: CopiedMemory): boolean {
    if (this.#stepsLeft-- <= 0) return false;
    this.offset = memory.find(this.at, this.length);
    if (this.offset < 0) return false;
    this.view = memory.view;
    return true;
  }

  #miss(items: Items): void {
    if (this.#stepsLeft <= 0 || this.#missing.count >= MOST_ITEMS || this.length > this.#bytesLeft) return;
    this.#bytesLeft -= this.length;
    this.#missing.push(items.last, items.isGuess, this.at, this.length, this.of, this.left);
  }
}

/** A stack of items, in arrays that grow as needed. */
class Items {
  count = 0;
  /** The step of the item that was popped last. */
  last: Step = nothing;
  /** Whether it was a guess. */
  isGuess = false;
  #at = new Float64Array(1024);
  #length = new Int32Array(1024);
  #of = new Float64Array(1024);
  #left = new Int32Array(1024);
  #guesses = new Uint8Array(1024);
  readonly #steps: Step[] = [];

  push(step: Step, isGuess: boolean, at: number, length: number, of: number, left: number): void {
    const i = this.count++;
    if (i === this.#at.length) this.#grow();
    this.#steps[i] = step;
    this.#guesses[i] = isGuess ? 1 : 0;
    this.#at[i] = at;
    this.#length[i] = length;
    this.#of[i] = of;
    this.#left[i] = left;
  }

  /** Takes the last item into the fields of the walk. Returns false if there is none. */
  pop(walk: PointerWalk): boolean {
    if (this.count === 0) return false;
    const i = --this.count;
    this.last = this.#steps[i] ?? this.last;
    this.isGuess = this.#guesses[i] === 1;
    walk.at = this.#at[i] ?? 0;
    walk.length = this.#length[i] ?? 0;
    walk.of = this.#of[i] ?? 0;
    walk.left = this.#left[i] ?? 0;
    return true;
  }

  /** Does the step of the item that was popped last. */
  step(walk: PointerWalk): void {
    if (!this.isGuess) walk.need(walk.at, walk.length);
    this.last(walk);
  }

  ranges(): RangeList {
    const out = new RangeList();
    for (let i = 0; i < this.count; i++) {
      const at = this.#at[i] ?? 0;
      out.add(at, at + (this.#length[i] ?? 0));
    }
    return out;
  }

  #grow(): void {
    const size = 2 * this.#at.length;
    const [at, length, of, left] = [this.#at, this.#length, this.#of, this.#left];
    (this.#at = new Float64Array(size)).set(at);
    (this.#length = new Int32Array(size)).set(length);
    (this.#of = new Float64Array(size)).set(of);
    (this.#left = new Int32Array(size)).set(left);
    const guesses = this.#guesses;
    (this.#guesses = new Uint8Array(size)).set(guesses);
  }
}

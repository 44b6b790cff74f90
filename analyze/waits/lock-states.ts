import { areDifferent, keyOf, unknownFrom, type Value } from './code-values.js';
import type { Mode } from './lock-functions.js';

/** A lock that code has acquired, or one that it has released without that. */
export interface Hold {
  readonly value: Value;
  readonly mode: Mode;
  /** True where it holds on every path that leads here; false where on some. */
  readonly isCertain: boolean;
}

/** What code has done with locks since the function's entry, at one place in it. */
export class LockStates {
  /** Locks that it holds, by mode and value. */
  readonly #held: Map<string, Hold>;
  /** Locks of its callers that it gave back. */
  readonly #released: Map<string, Hold>;
  /** Locks that it has acquired at some time, on any path. */
  readonly #past: Map<string, Hold>;
  /** True where it may have released a lock of which is not known which. */
  #isWild: boolean;

  private constructor(held: Map<string, Hold>, released: Map<string, Hold>, past: Map<string, Hold>, isWild: boolean) {
    this.#held = held;
    this.#released = released;
    this.#past = past;
    this.#isWild = isWild;
  }

  static none(): LockStates {
    return new LockStates(new Map(), new Map(), new Map(), false);
  }

  copy(): LockStates {
    return new LockStates(new Map(this.#held), new Map(this.#released), new Map(this.#past), this.#isWild);
  }

  get held(): Iterable<Hold> {
    return this.#held.values();
  }

  get released(): Iterable<Hold> {
    return this.#released.values();
  }

  get past(): Iterable<Hold> {
    return this.#past.values();
  }

  get isWild(): boolean {
    return this.#isWild;
  }

  holds(value: Value, mode: Mode): Hold | null {
    return this.#held.get(`${mode} ${keyOf(value)}`) ?? null;
  }

  /** `place` names a lock of which is not known which it is. */
  acquire(value: Value | null, mode: Mode, place: string, isCertain = true): void {
    const lock = value ?? unknownFrom(`lock ${place}`);
    const key = `${mode} ${keyOf(lock)}`;
    const before = this.#held.get(key);
    this.#held.set(key, { value: lock, mode, isCertain: isCertain || before?.isCertain === true });
    this.#past.set(key, { value: lock, mode, isCertain: false });
    this.#released.delete(key);
  }

  release(value: Value | null, mode: Mode, isCertain = true): void {
    if (value === null) {
      this.#isWild = true;
      this.doubt((hold) => hold.mode === mode);
      return;
    }
    const key = `${mode} ${keyOf(value)}`;
    const before = this.#held.get(key);
    if (before !== undefined && isCertain) this.#held.delete(key);
    else this.doubt((hold) => hold.mode === mode && !areDifferent(hold.value, value));
    if (before?.isCertain !== true) this.#released.set(key, { value, mode, isCertain });
  }

  /** Takes back that a lock was acquired: the code still waits for it. */
  undo(value: Value | null, mode: Mode): void {
    if (value === null) this.doubt((hold) => hold.mode === mode);
    else this.#held.delete(`${mode} ${keyOf(value)}`);
  }

  /** Lets locks that are held be uncertain. */
  doubt(which: (hold: Hold) => boolean): void {
    for (const [key, hold] of this.#held) {
      if (hold.isCertain && which(hold)) this.#held.set(key, { ...hold, isCertain: false });
    }
  }

  /** What holds here if control may also come with `other`. Returns null if nothing changes by it. */
  joined(other: LockStates): LockStates | null {
    const held = union(this.#held, other.#held);
    const released = union(this.#released, other.#released);
    const isWild = this.#isWild || other.#isWild;
    const past = union(this.#past, other.#past);
    if (held === null && released === null && past === null && isWild === this.#isWild) return null;
    return new LockStates(held ?? this.#held, released ?? this.#released, past ?? this.#past, isWild);
  }
}

/** null if it is the same as `a`. */
function union(a: ReadonlyMap<string, Hold>, b: ReadonlyMap<string, Hold>): Map<string, Hold> | null {
  const out = new Map(a);
  let isChanged = false;
  for (const [key, hold] of a) {
    if (!hold.isCertain || b.get(key)?.isCertain === true) continue;
    out.set(key, { ...hold, isCertain: false });
    isChanged = true;
  }
  for (const [key, hold] of b) {
    if (a.has(key)) continue;
    out.set(key, { ...hold, isCertain: false });
    isChanged = true;
  }
  return isChanged ? out : null;
}

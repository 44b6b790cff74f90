import { areDifferent, isSame, keyOf, unknownFrom, type Value } from './code-values.js';
import type { Truth } from './instruction.js';
import type { Mode } from './lock-functions.js';

/** A lock that code has acquired, or one that it has released without that. */
export interface Hold {
  readonly value: Value;
  readonly mode: Mode;
  /** True where it holds on every path that leads here; false where on some. */
  readonly isCertain: boolean;
  /** True where a function that was called acquired it, on some of its paths. */
  readonly isByCallee?: boolean;
}

/** A call of a function that is found in memory only when the code runs, such as a closure, or a method of an interface. */
export interface IndirectCall {
  /** The address of its code. */
  readonly callee: Value;
  /** Its first argument, and the closure if it is one; null where that is not known. */
  readonly given: Value | null;
  readonly closure: Value | null;
  /** True where it was made on every path that leads here, in this order with the others. */
  readonly isCertain: boolean;
}

/** Calls of the same with the same have the same key. */
export function keyOfCall({ callee, given, closure }: IndirectCall): string {
  return [callee, given, closure].map((value) => (value === null ? '' : keyOf(value))).join(' ');
}

/** A TryLock whose result no branch has told yet. */
export interface Tried {
  readonly value: Value | null;
  readonly mode: Mode;
  /** Names a lock of which is not known which it is. */
  readonly place: string;
  readonly result: Truth;
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
  #tried: Tried | null = null;
  /** Indirect calls that some path has made, as far as the values are known; of those that are the same, the last. */
  #calls: ReadonlyMap<string, IndirectCall> = new Map();

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
    const out = new LockStates(new Map(this.#held), new Map(this.#released), new Map(this.#past), this.#isWild);
    out.#tried = this.#tried;
    out.#calls = this.#calls;
    return out;
  }

  get calls(): Iterable<IndirectCall> {
    return this.#calls.values();
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

  get tried(): Tried | null {
    return this.#tried;
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

  /** A function that was called has acquired a lock on some path. */
  acquireMaybe(value: Value | null, mode: Mode): void {
    if (value === null) return;
    const key = `${mode} ${keyOf(value)}`;
    if (!this.#held.has(key)) this.#held.set(key, { value, mode, isCertain: false, isByCallee: true });
  }

  release(value: Value | null, mode: Mode, isCertain = true): void {
    if (value === null) {
      this.#isWild = true;
      this.doubt((hold) => hold.mode === mode);
      for (const [key, hold] of this.#held) if (hold.isByCallee === true && hold.mode === mode) this.#held.delete(key);
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

  call(call: IndirectCall): void {
    const key = keyOfCall(call);
    const calls = new Map(this.#calls);
    calls.delete(key);
    this.#calls = calls.set(key, call);
  }

  /** A TryLock: an earlier one may have acquired what it tried. */
  try(tried: Tried): void {
    this.tell(null);
    this.#tried = tried;
  }

  /** Whether the TryLock acquired; null if that is not known. */
  tell(has: boolean | null): void {
    if (this.#tried === null) return;
    const { value, mode, place } = this.#tried;
    this.#tried = null;
    if (has !== false) this.acquire(value, mode, place, has === true);
  }

  /** Follows the result of the TryLock through an instruction. */
  follow(step: (result: Truth) => Truth | null): void {
    if (this.#tried === null) return;
    const result = step(this.#tried.result);
    if (result === null) this.tell(null);
    else this.#tried = { ...this.#tried, result };
  }

  /** Lets locks that are held be uncertain. */
  doubt(which: (hold: Hold) => boolean): void {
    for (const [key, hold] of this.#held) {
      if (hold.isCertain && which(hold)) this.#held.set(key, { ...hold, isCertain: false });
    }
  }

  /** What holds here if control may also come with `other`. Returns null if nothing changes by it. */
  joined(other: LockStates): LockStates | null {
    if (isSameTry(this.#tried, other.#tried)) return this.#union(other);
    const [a, b] = [this.copy(), other.copy()];
    a.tell(null);
    b.tell(null);
    return a.#union(b) ?? (this.#tried === null ? null : a);
  }

  #union(other: LockStates): LockStates | null {
    const held = union(this.#held, other.#held);
    const released = union(this.#released, other.#released);
    const isWild = this.#isWild || other.#isWild;
    const past = union(this.#past, other.#past);
    const calls = unionOfCalls(this.#calls, other.#calls);
    if (held === null && released === null && past === null && isWild === this.#isWild && calls === null) return null;
    const out = new LockStates(held ?? this.#held, released ?? this.#released, past ?? this.#past, isWild);
    out.#tried = this.#tried;
    out.#calls = calls ?? this.#calls;
    return out;
  }
}

/** True where both try the same lock, and have the result in the same place. */
function isSameTry(a: Tried | null, b: Tried | null): boolean {
  if (a === null || b === null) return a === b;
  if (a.mode !== b.mode || a.result.register !== b.result.register || a.result.equal !== b.result.equal) return false;
  return a.value === null || b.value === null ? a.place === b.place : isSame(a.value, b.value);
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

/** null if it is the same as `a`. What was not called in the same order on both paths is not certain. */
function unionOfCalls(
  a: ReadonlyMap<string, IndirectCall>,
  b: ReadonlyMap<string, IndirectCall>,
): Map<string, IndirectCall> | null {
  if (a === b) return null;
  const order = [...b.keys()].filter((key) => a.has(key));
  const isInOrder = [...a.keys()].filter((key) => b.has(key)).every((key, i) => key === order[i]);
  const out = new Map(a);
  let isChanged = false;
  for (const [key, call] of a) {
    if (!call.isCertain || (isInOrder && b.get(key)?.isCertain === true)) continue;
    out.set(key, { ...call, isCertain: false });
    isChanged = true;
  }
  for (const [key, call] of b) {
    if (a.has(key)) continue;
    out.set(key, { ...call, isCertain: false });
    isChanged = true;
  }
  return isChanged ? out : null;
}

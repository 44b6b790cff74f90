import { onFault } from '../../snapshots/memory.js';
import type { GoProgram } from '../program.js';
import type { PhysicalFrame } from '../stacks/step.js';
import type { CodePoint } from '../stacks/code-index.js';
import { CalledFunctions } from './called-functions.js';
import { keyOf, type Value } from './code-values.js';
import { CPUS } from './cpus.js';
import type { DeferredCall } from './deferred-calls.js';
import { FrameValues, readWord, whenCalled, type Concrete } from './frame-values.js';
import type { Cpu } from './instruction.js';
import type { LockCode } from './lock-code.js';
import type { Stand } from './code-calls.js';
import type { Mode } from './lock-functions.js';
import type { MapLookup } from './map-lookup.js';
import type { Hold } from './lock-states.js';

/** Which locks are asked for. */
export interface WantedAddresses {
  has(address: number, mode: Mode): boolean;
  readonly all: readonly { readonly address: number; readonly mode: Mode }[];
}

/** Why a goroutine seems to hold a lock. The function is the one whose code or deferred call says so. */
export interface Claim {
  readonly address: number;
  readonly mode: Mode;
  /** The function between whose Lock and Unlock the goroutine is; null without such. */
  position: Position | null;
  /** True where that function releases it later. */
  isReleasedNext: boolean;
  /** The function that will release it without having acquired it. */
  ahead: string | null;
  /** The function that has deferred its release, and whether that always releases it. */
  deferred: { readonly func: string; readonly isCertain: boolean } | null;
  /** True where a function that was called since may have released it. */
  isDoubtful: boolean;
}

/** A function that has acquired a lock, itself or by what it called, and not released it where a frame stands. */
export interface Position {
  readonly func: string;
  readonly isCertain: boolean;
  /** False where the address was read through a pointer that may have changed. */
  readonly isSure: boolean;
  readonly isByCallee: boolean;
}

/** Bytes above a frame in which its callee may have kept the arguments that it got in registers. */
const SPILLED = 64;
/** Frames are searched for the pointer to a lock up to this many bytes. */
const MAX_FRAME = 1 << 16;

/** What one goroutine holds: a walk over its frames from the outermost to the innermost, for each gives or takes locks. */
export class HeldLocks {
  readonly #program: GoProgram;
  readonly #cpu: Cpu;
  readonly #code: LockCode;
  readonly #wanted: WantedAddresses;
  readonly #called: CalledFunctions;
  readonly #maps: MapLookup;
  readonly #claims = new Map<string, Claim>();

  constructor(program: GoProgram, code: LockCode, wanted: WantedAddresses, maps: MapLookup) {
    this.#program = program;
    this.#maps = maps;
    this.#called = new CalledFunctions(program, code);
    this.#cpu = CPUS[program.image.arch];
    this.#code = code;
    this.#wanted = wanted;
  }

  get claims(): Iterable<Claim> {
    return this.#claims.values();
  }

  /** Adds a frame: those around it were added before. */
  add(frame: PhysicalFrame, deferred: readonly DeferredCall[]): void {
    const { point, trap, fp } = frame;
    const place = this.#code.at(point, trap);
    if (place === null && deferred.length === 0) return;
    const func = this.#program.index.symbolizer.printedName(point.func.name);
    const isUnderstood = place !== null || !this.#code.isConcerned(point);
    if (place !== null) this.#position(frame, place, this.#valuesOf(place, fp), func);
    const past = place === null || deferred.length === 0 ? NO_KEYS : this.#pastIn(place, fp);
    for (const call of deferred) this.#defer(call, func, isUnderstood, past);
  }

  /** Nothing is known of what was released since. */
  doubtAll(): void {
    for (const claim of this.#claims.values()) claim.isDoubtful = true;
  }

  /** Of those that no pending deferred call releases, nothing is known of that either. */
  doubtPositions(): void {
    for (const claim of this.#claims.values()) if (claim.deferred === null) claim.isDoubtful = true;
  }

  drop(address: number): void {
    for (const [key, claim] of this.#claims) if (claim.address === address) this.#claims.delete(key);
  }

  #position(frame: PhysicalFrame, place: Stand, values: FrameValues, func: string): void {
    const { locks, next, waitsFor } = place;
    for (const { value, mode, isCertain } of locks.released) {
      const at = values.find(value);
      if (at === null) this.#doubt(mode);
      else if (isCertain && at.isSure) this.#claims.delete(`${mode} ${at.address}`);
      else this.#doubt(mode, at.address);
    }
    if (locks.isWild) this.doubtAll();
    const awaited = waitsFor?.value == null ? null : values.find(waitsFor.value);
    for (const hold of locks.held) {
      // The code may know what it waits for by another name, too, under which it seems to have it.
      const isInWay = waitsFor !== null && waitsFor.mode === hold.mode;
      const isReleasedNext = next.some(({ mode, value }) => mode === hold.mode && keyOf(value) === keyOf(hold.value));
      for (const { address, isSure } of this.#addressesOf(frame, values, hold)) {
        if (isInWay && awaited?.address === address) continue;
        const claim = this.#claim(address, hold.mode);
        const isByCallee = hold.isByCallee === true;
        const isOnly = claim.position === null && claim.deferred === null;
        const position = { func, isCertain: hold.isCertain, isSure, isByCallee };
        // The same lock may go by several names in the code, of which some paths know one only.
        if (claim.position?.func !== func || weight(position) >= weight(claim.position)) claim.position = position;
        claim.isReleasedNext ||= isReleasedNext;
        claim.isDoubtful =
          (isInWay && awaited === null) || (isByCallee && ((isOnly && !isReleasedNext) || claim.isDoubtful));
      }
    }
    this.#indirect(place, values, func);
    if (next.length === 0) return;
    const held = new Set([...locks.held, ...locks.past].map(({ mode, value }) => `${mode} ${keyOf(value)}`));
    for (const { value, mode } of next) {
      if (held.has(`${mode} ${keyOf(value)}`)) continue;
      const at = values.find(value);
      if (at?.isSure === true && this.#wanted.has(at.address, mode)) this.#claim(at.address, mode).ahead ??= func;
    }
  }

  /** What the code has done, and will do, by calls of closures and of methods of interfaces. */
  #indirect({ locks, nextCalls, nextAcquired }: Stand, values: FrameValues, func: string): void {
    const find = (value: Value): Concrete | null => values.find(value);
    for (const call of locks.calls) {
      const effects = this.#called.effectsOf(call, find);
      for (const { address, mode, isCertain } of effects?.acquired ?? []) {
        if (!this.#wanted.has(address, mode)) continue;
        const claim = this.#claim(address, mode);
        claim.position ??= { func, isCertain, isSure: false, isByCallee: !isCertain };
      }
      for (const { address, mode, isCertain } of effects?.released ?? []) {
        const claim = this.#claims.get(`${mode} ${address}`);
        if (claim === undefined) continue;
        // Of what is called in memory and of what the code does itself, the order is not known.
        if (isCertain && claim.position?.func === func && !claim.position.isSure) claim.position = null;
        claim.isDoubtful = true;
      }
    }
    const ahead = nextCalls.flatMap((call) => this.#called.effectsOf(call, find) ?? []);
    const acquired = new Set(ahead.flatMap((effects) => effects.acquired.map(({ address }) => address)));
    for (const { value } of nextAcquired) acquired.add(values.find(value)?.address ?? 0);
    for (const { address, mode, isCertain } of ahead.flatMap(({ released }) => released)) {
      if (!isCertain || acquired.has(address) || !this.#wanted.has(address, mode)) continue;
      const claim = this.#claim(address, mode);
      if (claim.position === null) claim.ahead ??= func;
      else if (claim.position.func === func) claim.isReleasedNext = true;
    }
  }

  /** The wanted lock that a value is; where the frame does not tell which it is, those that its words may point to. */
  #addressesOf(frame: PhysicalFrame, values: FrameValues, { value, mode }: Hold): Concrete[] {
    const at = values.find(value);
    if (at !== null) return this.#wanted.has(at.address, mode) ? [at] : [];
    const words = this.#wordsOf(frame);
    const { offset } = value;
    return this.#wanted.all
      .filter((lock) => lock.mode === mode && (words.has(lock.address) || words.has(lock.address - offset)))
      .map(({ address }) => ({ address, isSure: false }));
  }

  #wordsOf({ sp, fp }: PhysicalFrame): Set<number> {
    const words = new Set<number>();
    const end = Math.min(fp + SPILLED, sp + MAX_FRAME);
    for (let at = sp; at + 8 <= end; at += 8) {
      const word = readWord(this.#program.memory, at);
      if (word !== null && word !== 0) words.add(word);
    }
    return words;
  }

  /** Locks that the code has acquired before and does not hold, as far as is known which they are. */
  #pastIn(place: Stand, fp: number): Set<string> {
    const { locks } = place;
    const values = this.#valuesOf(place, fp);
    const past = new Set<string>();
    const held = new Set([...locks.held].map(({ mode, value }) => `${mode} ${keyOf(value)}`));
    for (const { value, mode } of locks.past) {
      if (held.has(`${mode} ${keyOf(value)}`)) continue;
      const at = values.find(value);
      if (at !== null) past.add(`${mode} ${at.address}`);
    }
    return past;
  }

  #valuesOf({ registers }: Stand, fp: number): FrameValues {
    return new FrameValues(this.#program.memory, this.#cpu, registers, fp, this.#maps);
  }

  #defer(call: DeferredCall, func: string, isUnderstood: boolean, past: ReadonlySet<string>): void {
    for (const { mode, isCertain, isFar, ...at } of this.#releasedBy(call)) {
      if (!this.#wanted.has(at.address, mode)) continue;
      // It gave the lock back in between, and has not taken it again.
      if (past.has(`${mode} ${at.address}`)) continue;
      const claim = this.#claim(at.address, mode);
      const isOnly = claim.position === null || claim.position.isByCallee;
      claim.deferred = { func, isCertain: isCertain && at.isSure && isUnderstood };
      claim.isDoubtful = isFar && isOnly;
    }
  }

  /** What a deferred call will release. */
  #releasedBy(call: DeferredCall): readonly Released[] {
    return onFault(
      () => {
        const point = this.#called.at(readWord(this.#program.memory, call.closure));
        if (point === null) return [];
        const own = this.#releasedIn(point, (value) => whenCalled(this.#program.memory, this.#cpu, value, call));
        if (own.length > 0) return own;
        const byCaptured = this.#releasedByCaptured(point, call);
        return byCaptured.length > 0 ? byCaptured : this.#releasedFarAway(point, call);
      },
      () => [],
    );
  }

  /** What a function releases by its own code, or by that of those it calls; `find` knows the values that it is given. */
  #releasedIn(point: CodePoint, find: (value: Value) => Concrete | null): Released[] {
    const lock = this.#code.methods.callOf(point.func.name);
    const released =
      lock?.does === 'release'
        ? [{ value: RECEIVER, mode: lock.mode, isCertain: true }]
        : [...(this.#code.afterCallOf(point)?.released ?? [])];
    return released.flatMap(({ value, mode, isCertain }) => {
      const at = find(value);
      return at === null ? [] : [{ ...at, mode, isCertain, isFar: false }];
    });
  }

  /** What a closure releases by functions of its package that it calls, several calls away. It need not: that is a possibility. */
  #releasedFarAway(point: CodePoint, call: DeferredCall): Released[] {
    return [...(this.#code.afterDeferred(point)?.released ?? [])].flatMap(({ value, mode }) => {
      const at = whenCalled(this.#program.memory, this.#cpu, value, call);
      return at === null ? [] : [{ ...at, mode, isCertain: false, isFar: true }];
    });
  }

  /**
   * What a closure releases that calls another one, or a method of an interface, which it has captured, such as sync.Locker. Code
   * that has such a thing may have called it before in ways that are not followed: that is not certain.
   */
  #releasedByCaptured(point: CodePoint, call: DeferredCall): Released[] {
    const find = (value: Value): Concrete | null => whenCalled(this.#program.memory, this.#cpu, value, call);
    return [...(this.#code.afterDeferred(point)?.calls ?? [])].flatMap((indirect) => {
      const released = this.#called.effectsOf(indirect, find)?.released ?? [];
      return released.map((effect) => ({ ...effect, isCertain: false, isSure: true, isFar: false }));
    });
  }

  #claim(address: number, mode: Mode): Claim {
    const key = `${mode} ${address}`;
    let claim = this.#claims.get(key);
    if (claim === undefined) {
      claim = { address, mode, position: null, isReleasedNext: false, ahead: null, deferred: null, isDoubtful: false };
      this.#claims.set(key, claim);
    }
    return claim;
  }

  #doubt(mode: Mode, address: number | null = null): void {
    for (const claim of this.#claims.values()) {
      if (claim.mode === mode && (address === null || claim.address === address)) claim.isDoubtful = true;
    }
  }
}

function weight({ isCertain, isSure }: NonNullable<Claim['position']>): number {
  return (isCertain ? 2 : 0) + (isSure ? 1 : 0);
}

/** A lock that a deferred call releases. */
interface Released extends Concrete {
  readonly mode: Mode;
  readonly isCertain: boolean;
  /** True where only functions that it calls do so. */
  readonly isFar: boolean;
}

const NO_KEYS: ReadonlySet<string> = new Set();

/** The receiver of a method that is deferred itself: its first argument. */
const RECEIVER: Value = {
  origin: { kind: 'argument', key: 'argument 8', number: 8, base: null, index: null },
  offset: 0,
};

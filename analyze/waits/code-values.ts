/**
 * Where a value of running code comes from. Values with the same origin are a number of bytes apart: that is what tells two
 * locks of one object from each other, and one lock named in two ways as the same.
 */
export interface Origin {
  readonly kind:
    /** The stack pointer at the function's entry, where the return address lies. */
    | 'frame'
    /** Nothing: the value is an address as it stands. */
    | 'address'
    /** A general register at the function's entry. */
    | 'register'
    /** The word at a number of bytes from the `frame` origin, at the function's entry. */
    | 'argument'
    /** The word in memory at `base`. */
    | 'load'
    /** Not known, but for where it came to be. */
    | 'unknown';
  /** Two origins are the same if their keys are. */
  readonly key: string;
  /** Of a register or an argument, which. */
  readonly number: number;
  /** Of a load. */
  readonly base: Value | null;
}

/** `offset` bytes from what the origin is. */
export interface Value {
  readonly origin: Origin;
  readonly offset: number;
}

/** A load through more pointers than this is not followed. */
const MAX_DEPTH = 4;

const FRAME: Origin = { kind: 'frame', key: 'frame', number: 0, base: null };
const ADDRESS: Origin = { kind: 'address', key: 'address', number: 0, base: null };

export function inFrame(offset: number): Value {
  return { origin: FRAME, offset };
}

export function addressOf(address: number): Value {
  return { origin: ADDRESS, offset: address };
}

export function registerAtEntry(number: number): Value {
  return { origin: { kind: 'register', key: `register ${number}`, number, base: null }, offset: 0 };
}

export function argumentAtEntry(offset: number): Value {
  return { origin: { kind: 'argument', key: `argument ${offset}`, number: offset, base: null }, offset: 0 };
}

/** A value of which only is known where it came to be. */
export function unknownFrom(place: string): Value {
  return { origin: { kind: 'unknown', key: `unknown ${place}`, number: 0, base: null }, offset: 0 };
}

/** The word at `base`; null for one that is reached through too many pointers. */
export function loadedFrom(base: Value): Value | null {
  if (depthOf(base) >= MAX_DEPTH) return null;
  return { origin: { kind: 'load', key: `[${keyOf(base)}]`, number: 0, base }, offset: 0 };
}

export function shifted({ origin, offset }: Value, bytes: number): Value {
  return { origin, offset: offset + bytes };
}

export function keyOf({ origin, offset }: Value): string {
  return `${origin.key}+${offset}`;
}

export function isSame(a: Value, b: Value): boolean {
  return a.offset === b.offset && a.origin.key === b.origin.key;
}

/** True for values that can never be equal. */
export function areDifferent(a: Value, b: Value): boolean {
  return a.offset !== b.offset && a.origin.key === b.origin.key;
}

/** The value in terms of a caller, who knows what the callee was given; null where that does not tell. */
export function seenFrom(value: Value, given: (origin: Origin) => Value | null): Value | null {
  const { origin, offset } = value;
  if (origin.kind === 'address') return value;
  const base = origin.base === null ? given(origin) : seenFrom(origin.base, given);
  const own = base === null || origin.base === null ? base : loadedFrom(base);
  return own === null ? null : shifted(own, offset);
}

function depthOf({ origin }: Value): number {
  return origin.base === null ? 0 : 1 + depthOf(origin.base);
}

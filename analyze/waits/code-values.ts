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
    /** `base` and a number of times `index`, as in the address of an element. */
    | 'sum'
    /** Where the map `base`, of the type at the address `number`, has what it has at the key `index`. */
    | 'entry'
    /** Not known, but for where it came to be. */
    | 'unknown';
  /** Two origins are the same if their keys are. */
  readonly key: string;
  /** Of a register or an argument, which; of a sum, how many times the index. */
  readonly number: number;
  /** Of a load, of a sum, and of an entry. */
  readonly base: Value | null;
  readonly index: Value | null;
  /** Of an entry whose key is a string: the length of the key. */
  readonly length?: Value | null;
}

/** `offset` bytes from what the origin is. */
export interface Value {
  readonly origin: Origin;
  readonly offset: number;
}

/** A load through more pointers than this is not followed. */
const MAX_DEPTH = 4;

const FRAME: Origin = { kind: 'frame', key: 'frame', number: 0, base: null, index: null };
const ADDRESS: Origin = { kind: 'address', key: 'address', number: 0, base: null, index: null };
const ZERO: Value = { origin: ADDRESS, offset: 0 };

export function inFrame(offset: number): Value {
  return { origin: FRAME, offset };
}

export function addressOf(address: number): Value {
  return { origin: ADDRESS, offset: address };
}

export function registerAtEntry(number: number): Value {
  return { origin: { kind: 'register', key: `register ${number}`, number, base: null, index: null }, offset: 0 };
}

export function argumentAtEntry(offset: number): Value {
  return {
    origin: { kind: 'argument', key: `argument ${offset}`, number: offset, base: null, index: null },
    offset: 0,
  };
}

/** A value of which only is known where it came to be. */
export function unknownFrom(place: string): Value {
  return { origin: { kind: 'unknown', key: `unknown ${place}`, number: 0, base: null, index: null }, offset: 0 };
}

/** The word at `base`; null for one that is reached through too many pointers. */
export function loadedFrom(base: Value): Value | null {
  if (depthOf(base) >= MAX_DEPTH) return null;
  return { origin: { kind: 'load', key: `[${keyOf(base)}]`, number: 0, base, index: null }, offset: 0 };
}

/** `base` and `times` times `index`; null where one of them is not known, or takes too much to work out. */
export function summed(base: Value | null, index: Value | null, times: number): Value | null {
  if (base === null || index === null || Math.max(depthOf(base), depthOf(index)) >= MAX_DEPTH) return null;
  if (index.origin.kind === 'address') return shifted(base, times * index.offset);
  if (base.origin.kind === 'address' && times === 1) return shifted(index, base.offset);
  const key = `(${base.origin.key} + ${times} * ${index.origin.key})`;
  const [from, by] = [withoutOffset(base), withoutOffset(index)];
  const origin: Origin = { kind: 'sum', key, number: times, base: from, index: by };
  return { origin, offset: base.offset + times * index.offset };
}

/** Where a map of a type has what it has at a key: `length` is that of a string, which begins at `key`. */
export function entryOf(type: number, map: Value, key: Value, length: Value | null): Value | null {
  if ([map, key, ...(length === null ? [] : [length])].some((value) => depthOf(value) >= MAX_DEPTH)) return null;
  const name = `map ${type} ${keyOf(map)} at ${keyOf(key)} ${length === null ? '' : keyOf(length)}`;
  return { origin: { kind: 'entry', key: name, number: type, base: map, index: key, length }, offset: 0 };
}

/** The product of a value and a number. */
export function multiplied(value: Value | null, times: number): Value | null {
  if (times === 1) return value;
  if (value?.origin.kind !== 'sum' || value.origin.base?.origin.kind !== 'address') return summed(ZERO, value, times);
  const { index, number } = value.origin;
  const product = summed(ZERO, index, number * times);
  return product === null ? null : shifted(product, times * value.offset);
}

function withoutOffset({ origin }: Value): Value {
  return { origin, offset: 0 };
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

/** The value in terms of a caller, who knows what some origins are in the callee; null where that does not tell. */
export function seenFrom(value: Value, given: (origin: Origin) => Value | null): Value | null {
  const { origin, offset } = value;
  if (origin.kind === 'address') return value;
  const own = given(origin) ?? seenThrough(origin, given);
  return own === null ? null : shifted(own, offset);
}

/** Whether a value was read in memory, or worked out from what was. */
export function isLoaded({ origin: { kind, base, index } }: Value): boolean {
  return kind === 'load' || kind === 'entry' || [base, index].some((part) => part !== null && isLoaded(part));
}

function seenThrough({ kind, base, index, number }: Origin, given: (origin: Origin) => Value | null): Value | null {
  const from = base === null || kind === 'entry' ? null : seenFrom(base, given);
  if (from === null) return null;
  return index === null ? loadedFrom(from) : summed(from, seenFrom(index, given), number);
}

function depthOf({ origin: { base, index } }: Value): number {
  if (base === null) return 0;
  return 1 + Math.max(depthOf(base), index === null ? 0 : depthOf(index));
}

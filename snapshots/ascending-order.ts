/** Bits of a key that one pass of the sort looks at. */
const DIGIT_BITS = 11;
const DIGITS = 2 ** DIGIT_BITS;
const TWO_32 = 2 ** 32;
/** The largest number below 2^64: a word that is larger is rounded to 2^64. */
const LARGEST = 2 ** 64 - 2 ** 11;

/**
 * Returns the indices of `keys` in ascending order of their keys; equal keys stay in the order of their indices. Keys are
 * 64-bit words, as Memory.word returns them. The time is linear in their number: a million take some 30 ms.
 */
export function ascendingOrder(keys: Float64Array): Uint32Array {
  const length = keys.length;
  let order = new Uint32Array(length);
  for (let i = 0; i < length; i++) order[i] = i;
  let [lowest, highest] = [Infinity, 0];
  let isAscending = true;
  for (let i = 0; i < length; i++) {
    const key = keys[i] ?? 0;
    if (key < highest) isAscending = false;
    else highest = key;
    if (key < lowest) lowest = key;
  }
  if (isAscending) return order;
  const halves = halvesOf(keys, lowest);
  let next = new Uint32Array(length);
  const starts = new Uint32Array(DIGITS);
  // Digit by digit, the lowest first: each pass keeps the order of the last one where the digits are equal.
  for (const [half, span] of [
    [halves.low, Math.min(highest - lowest, TWO_32 - 1)],
    [halves.high, Math.floor((highest - lowest) / TWO_32)],
  ] as const) {
    for (let shift = 0; shift < 32 && span >= 2 ** shift; shift += DIGIT_BITS) {
      placeByDigit(half, shift, order, next, starts);
      [order, next] = [next, order];
    }
  }
  return order;
}

/** Sorts keys in place, and returns them. */
export function ascending(keys: Float64Array): Float64Array {
  return isAscending(keys) ? keys : keys.sort();
}

function isAscending(keys: Float64Array): boolean {
  for (let i = 1; i < keys.length; i++) if ((keys[i] ?? 0) < (keys[i - 1] ?? 0)) return false;
  return true;
}

/** The keys less the lowest one, as two 32-bit halves: integers are sorted several times as fast as floating point numbers. */
function halvesOf(keys: Float64Array, lowest: number): { low: Uint32Array; high: Uint32Array } {
  const low = new Uint32Array(keys.length);
  const high = new Uint32Array(keys.length);
  for (let i = 0; i < keys.length; i++) {
    const key = Math.min(keys[i] ?? 0, LARGEST) - lowest;
    high[i] = key / TWO_32;
    low[i] = key % TWO_32;
  }
  return { low, high };
}

/** Writes `from` to `to`, ordered by the digit at `shift` of their keys. `starts` is overwritten. */
function placeByDigit(half: Uint32Array, shift: number, from: Uint32Array, to: Uint32Array, starts: Uint32Array): void {
  starts.fill(0);
  for (let k = 0; k < from.length; k++) {
    const digit = ((half[from[k] ?? 0] ?? 0) >>> shift) % DIGITS;
    starts[digit] = (starts[digit] ?? 0) + 1;
  }
  let start = 0;
  for (let digit = 0; digit < DIGITS; digit++) {
    const count = starts[digit] ?? 0;
    starts[digit] = start;
    start += count;
  }
  for (let k = 0; k < from.length; k++) {
    const i = from[k] ?? 0;
    const digit = ((half[i] ?? 0) >>> shift) % DIGITS;
    const at = starts[digit] ?? 0;
    to[at] = i;
    starts[digit] = at + 1;
  }
}

/**
 * Returns the first index in [0, length) for which `isPast` is true, or `length` if there is none. `isPast` must be
 * false up to some index and true from there on.
 */
export function firstIndex(length: number, isPast: (index: number) => boolean): number {
  let lo = 0;
  let hi = length;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (isPast(mid)) hi = mid;
    else lo = mid + 1;
  }
  return lo;
}

/**
 * Returns the first index in [lo, hi) whose value is above `limit`, or `hi` if there is none. `ascending` must be sorted.
 * Allocates nothing, so that it can run while a process is stopped.
 */
export function firstAbove(ascending: Float64Array, limit: number, lo = 0, hi = ascending.length): number {
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if ((ascending[mid] ?? Infinity) > limit) hi = mid;
    else lo = mid + 1;
  }
  return lo;
}

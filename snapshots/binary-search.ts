/**
 * Returns the first index in [0, length) for which `isPast` is true, or `length` where there is none. `isPast` must be
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

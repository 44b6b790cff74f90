import type { Value, Values } from '../types/values.js';

/** In time.Time (time/time.go): set in `wall` where that has the seconds, and `ext` a reading of the monotonic clock. */
const HAS_MONOTONIC = 1n << 63n;
const NANOSECONDS = (1n << 30n) - 1n;
/** Seconds from the first of January of 1885 and of the year 1, from which they count, to that of 1970. */
const FROM_1885 = 2_682_288_000;
const FROM_YEAR_1 = 62_135_596_800;
/** What a Date can hold, in milliseconds. */
const MAX_MS = 8.64e15;

/** A time.Time in milliseconds since 1970; null for the zero time and for what is none. Throws MemoryFault. */
export function unixMs(values: Values, time: Value | null): number | null {
  const [wallAt, extAt] =
    time?.type.name === 'time.Time' ? [values.get(time, 'wall'), values.get(time, 'ext')] : [null, null];
  if (wallAt === null || extAt === null) return null;
  const wall = values.memory.u64(wallAt.addr);
  const isMonotonic = (wall & HAS_MONOTONIC) !== 0n;
  const seconds = isMonotonic
    ? Number((wall & (HAS_MONOTONIC - 1n)) >> 30n) - FROM_1885
    : Number(BigInt.asIntN(64, values.memory.u64(extAt.addr))) - FROM_YEAR_1;
  const ms = 1000 * seconds + Math.floor(Number(wall & NANOSECONDS) / 1e6);
  return seconds === -FROM_YEAR_1 || Math.abs(ms) > MAX_MS ? null : ms;
}

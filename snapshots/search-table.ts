import { firstAbove } from './binary-search.js';

/** Numbers further apart than this lie in areas of their own: memory of different kinds is terabytes apart. */
const AREA_GAP = 2 ** 30;
/** With more areas than this, finding the area would take longer than it saves. */
const MAX_AREAS = 8;
/** A table is as fine as this many buckets for each number. */
const BUCKETS = 2;

/**
 * Finds places in ascending numbers, some times faster than a binary search over all of them: a table says between which two
 * indices to look. Takes 8 bytes a number. Searches allocate nothing, so that they can run while a process is stopped.
 */
export class SearchTable {
  readonly #ascending: Float64Array;
  /** By area: its lowest number, how many buckets there are to a unit, and where its buckets begin and end in the table. */
  readonly #lowest: number[] = [];
  readonly #scale: number[] = [];
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  /** By bucket, the index of the first number in it or above; for each area one more, where its numbers end. */
  readonly #table: Uint32Array;

  /** `ascending` must be sorted, and stay as it is. */
  constructor(ascending: Float64Array) {
    this.#ascending = ascending;
    const starts = startsOfAreas(ascending);
    this.#table = new Uint32Array(BUCKETS * ascending.length + starts.length);
    let from = 0;
    for (const [area, start] of starts.entries()) {
      const end = starts[area + 1] ?? ascending.length;
      const lowest = ascending[start] ?? 0;
      const buckets = BUCKETS * (end - start);
      const scale = buckets / ((ascending[end - 1] ?? 0) - lowest + 1);
      let next = start;
      for (let bucket = 0; bucket < buckets; bucket++) {
        while (next < end && bucketOf(ascending[next] ?? 0, lowest, scale) < bucket) next++;
        this.#table[from + bucket] = next;
      }
      this.#table[from + buckets] = end;
      this.#lowest.push(lowest);
      this.#scale.push(scale);
      this.#from.push(from);
      this.#to.push(from + buckets);
      from += buckets + 1;
    }
  }

  /** The index of the first number above `limit`, or how many there are if none is. */
  firstAbove(limit: number): number {
    let area = this.#lowest.length - 1;
    if (area < 0) return firstAbove(this.#ascending, limit);
    while (area >= 0 && (this.#lowest[area] ?? 0) > limit) area--;
    if (area < 0) return 0;
    const bucket = bucketOf(limit, this.#lowest[area] ?? 0, this.#scale[area] ?? 0);
    const last = (this.#to[area] ?? 0) - 1;
    const at = Math.min((this.#from[area] ?? 0) + bucket, last);
    return firstAbove(this.#ascending, limit, this.#table[at], this.#table[at + 1]);
  }
}

/** Grows with the number, also where it is rounded. */
function bucketOf(value: number, lowest: number, scale: number): number {
  return Math.floor((value - lowest) * scale);
}

/** The indices at which areas start; none if there are too many. */
function startsOfAreas(ascending: Float64Array): number[] {
  const starts: number[] = [];
  for (let i = 0; i < ascending.length; i++) {
    if (i > 0 && (ascending[i] ?? 0) - (ascending[i - 1] ?? 0) <= AREA_GAP) continue;
    if (starts.length === MAX_AREAS) return [];
    starts.push(i);
  }
  return starts;
}

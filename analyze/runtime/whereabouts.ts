import { firstAbove } from '../../snapshots/binary-search.js';
import type { GoroutineColumns } from './goroutine-columns.js';
import type { G } from './goroutine.js';
import { whereaboutsOf } from './parked.js';

/** Where the goroutines of a program were that waited: whether one stayed there is told by one word of each. */
export class Whereabouts {
  /** Ascending. */
  readonly #addr: Float64Array;
  readonly #words: Int32Array;

  constructor(columns: GoroutineColumns) {
    const { length } = columns;
    // Rows are in the order of addresses.
    this.#addr = columns.addr.slice(0, length);
    this.#words = new Int32Array(length);
    for (let row = 0; row < length; row++) {
      const g = columns.isReadable(row) ? columns.at(row) : null;
      if (g?.status === 'waiting') this.#words[row] = whereaboutsOf(g);
    }
  }

  /** True for a goroutine that waits, and waited there too. */
  has(g: G): boolean {
    if (g.status !== 'waiting') return false;
    const row = firstAbove(this.#addr, g.addr) - 1;
    return this.#addr[row] === g.addr && this.#words[row] === whereaboutsOf(g);
  }
}

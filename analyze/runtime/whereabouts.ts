/** Where the goroutines of a program were that waited: whether one stayed there is told by one word of each. */
export class Whereabouts {
  /** Addresses of their gs, ascending. */
  readonly #addr: Float64Array;
  readonly #words: Int32Array;

  /** `words` are as {@link ParkedWords.whereabouts} makes them, of the goroutines at `addr`. */
  constructor(addr: Float64Array, words: Int32Array) {
    this.#addr = addr;
    this.#words = words;
  }

  /** Addresses of the goroutines of a later look that do not still wait where they did. */
  movedIn(later: Whereabouts): Float64Array {
    const out: number[] = [];
    let before = 0;
    for (let i = 0; i < later.#addr.length; i++) {
      const addr = later.#addr[i] ?? 0;
      while ((this.#addr[before] ?? Infinity) < addr) before++;
      const word = later.#words[i] ?? 0;
      if (word === 0 || this.#addr[before] !== addr || this.#words[before] !== word) out.push(addr);
    }
    return Float64Array.from(out);
  }
}

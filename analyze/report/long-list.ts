/**
 * A list that may be too long to hold. Its length is known; its items are worked out one at a time, by each iteration
 * anew. JSON.stringify makes an array of it.
 */
export class LongList<T> implements Iterable<T> {
  readonly length: number;
  readonly #items: () => Iterable<T>;

  constructor(length: number, items: () => Iterable<T>) {
    this.length = length;
    this.#items = items;
  }

  /** Several lists, one after another. */
  static joining<T>(lists: readonly LongList<T>[]): LongList<T> {
    const length = lists.reduce((sum, list) => sum + list.length, 0);
    return new LongList(length, function* () {
      for (const list of lists) yield* list;
    });
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items()[Symbol.iterator]();
  }

  toJSON(): T[] {
    return [...this];
  }
}

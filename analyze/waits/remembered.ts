import { onFault } from '../../snapshots/memory.js';

/** What is worked out from code once for each of many addresses; `otherwise` where the memory that it takes is absent. */
export class Remembered<Item, Found> {
  readonly #find: (item: Item) => Found;
  readonly #otherwise: Found;
  readonly #known = new Map<number, Found>();

  constructor(find: (item: Item) => Found, otherwise: Found) {
    this.#find = find;
    this.#otherwise = otherwise;
  }

  /** What is found of an item that is known by an address. */
  at(address: number, item: Item): Found {
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    const found = onFault(
      () => this.#find(item),
      () => this.#otherwise,
    );
    this.#known.set(address, found);
    return found;
  }
}

/** What {@link AddressTable} has for an address that it does not know. */
export const NONE = -1;

/** Entries at first; a power of two, as all sizes are. */
const LEAST_SIZE = 1024;
/**
 * A number for each address, in two arrays: a Map has objects for its keys, which a garbage collection visits one by one, and is
 * slow to look into once it has a million.
 */
export class AddressTable {
  /** By slot: an address, or 0. */
  #addresses = new Float64Array(LEAST_SIZE);
  #numbers = new Int32Array(LEAST_SIZE);
  #shift = 32 - Math.log2(LEAST_SIZE);
  #size = 0;
  /** Odd factors that spread addresses over the slots. They differ each time: no file can have addresses that all meet in one slot. */
  readonly #low = randomFactor();
  readonly #high = randomFactor();

  /** The number of an address; {@link NONE} if it has none. */
  get(addr: number): number {
    const slot = this.#find(addr);
    return addr !== 0 && this.#addresses[slot] === addr ? (this.#numbers[slot] ?? NONE) : NONE;
  }

  /** Gives an address, which is not 0, a number. */
  set(addr: number, number: number): void {
    if (2 * this.#size >= this.#addresses.length) this.#grow();
    const slot = this.#find(addr);
    if (this.#addresses[slot] === 0) this.#size++;
    this.#addresses[slot] = addr;
    this.#numbers[slot] = number;
  }

  /** The slot of an address, or the empty one where it would be. */
  #find(addr: number): number {
    const addresses = this.#addresses;
    const last = addresses.length - 1;
    // Objects of Go programs are 8 bytes apart at least.
    const hash = Math.imul((addr / 8) | 0, this.#low) ^ Math.imul((addr / 2 ** 35) | 0, this.#high);
    let slot = hash >>> this.#shift;
    for (let at = addresses[slot]; at !== addr && at !== 0; at = addresses[slot]) slot = (slot + 1) & last;
    return slot;
  }

  #grow(): void {
    const [addresses, numbers] = [this.#addresses, this.#numbers];
    this.#addresses = new Float64Array(2 * addresses.length);
    this.#numbers = new Int32Array(2 * addresses.length);
    this.#shift--;
    this.#size = 0;
    for (let slot = 0; slot < addresses.length; slot++) {
      if (addresses[slot] !== 0) this.set(addresses[slot] ?? 0, numbers[slot] ?? NONE);
    }
  }
}

function randomFactor(): number {
  return 2 * Math.floor(2 ** 31 * Math.random()) + 1;
}

import { isAddr, type Addr } from '../address.js';
import { BytesError } from '../bytes.js';

/**
 * The fields of a decoded map, whose types are checked when they are read. `where` names the map in messages. Every
 * reader throws {@link BytesError} if the field is missing or of another type.
 */
export class Fields {
  readonly where: string;
  readonly #map: Readonly<Record<string, unknown>>;

  constructor(value: unknown, where: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw new BytesError(`${where} is not a map`);
    }
    this.where = where;
    this.#map = value as Readonly<Record<string, unknown>>;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#map, key);
  }

  text(key: string): string {
    const value = this.#get(key);
    if (typeof value !== 'string') throw this.#wrong(key, 'text');
    return value;
  }

  flag(key: string): boolean {
    const value = this.#get(key);
    if (typeof value !== 'boolean') throw this.#wrong(key, 'true or false');
    return value;
  }

  /** Reads a whole number from 0 to 2^53 - 1, encoded in any width. */
  count(key: string): number {
    const n = this.integer(key);
    if (n < 0) throw this.#wrong(key, 'a whole number from 0');
    return n;
  }

  /** Reads a whole number between -2^53 and 2^53, encoded in any width. */
  integer(key: string): number {
    const value = this.#get(key);
    const n = typeof value === 'bigint' ? Number(value) : value;
    if (typeof n !== 'number' || !Number.isSafeInteger(n)) throw this.#wrong(key, 'a whole number');
    return n;
  }

  /** Reads a whole number from 0 to 2^64 - 1. */
  big(key: string): bigint {
    const value = this.#get(key);
    return typeof value === 'bigint' && value >= 0n ? value : BigInt(this.count(key));
  }

  address(key: string): Addr {
    return toAddress(this.count(key), `${this.where}.${key}`);
  }

  bytes(key: string): Uint8Array {
    const value = this.#get(key);
    if (!(value instanceof Uint8Array)) throw this.#wrong(key, 'bytes');
    return value;
  }

  map(key: string): Fields {
    return new Fields(this.#get(key), `${this.where}.${key}`);
  }

  list<T>(key: string, each: (value: unknown, where: string) => T): T[] {
    const value = this.#get(key);
    if (!Array.isArray(value)) throw this.#wrong(key, 'an array');
    return value.map((item: unknown, i) => each(item, `${this.where}.${key}[${i}]`));
  }

  /** Returns null if the field is nil, else what `read` returns: `fields.orNull('buildId', (k) => fields.text(k))`. */
  orNull<T>(key: string, read: (key: string) => T): T | null {
    return this.#get(key) === null ? null : read(key);
  }

  #get(key: string): unknown {
    if (!this.has(key)) throw new BytesError(`${this.where}.${key} is missing`);
    return this.#map[key];
  }

  #wrong(key: string, expected: string): BytesError {
    return new BytesError(`${this.where}.${key} is not ${expected}`);
  }
}

/** Checks an element of a list of whole numbers from 0. Throws {@link BytesError}. */
export function toCount(value: unknown, where: string): number {
  return new Fields({ value }, where).count('value');
}

/** Checks an element of a list of addresses. Throws {@link BytesError}. */
export function toAddress(value: unknown, where: string): Addr {
  const n = toCount(value, where);
  if (!isAddr(n)) throw new BytesError(`${where} is not an address`);
  return n;
}

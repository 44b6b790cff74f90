/**
 * An address in the observed process. On amd64 and arm64 a user-space address fits below 2^53, so a plain JavaScript
 * number holds it exactly; the brand keeps it apart from file offsets, sizes and counts. Never use `& | << >>` on one:
 * those operators work on 32 bits.
 */
export type Addr = number & { readonly __addr: 'Addr' };

/** Addresses are below this. A larger word is not a pointer: the user space of Go programs ends far below 2^53. */
export const ADDR_LIMIT = Number.MAX_SAFE_INTEGER;

/** The null pointer. */
export const NIL = 0 as Addr;

/** Returns whether `n` can be an address: a whole number from 0 up to, but not including, {@link ADDR_LIMIT}. */
export function isAddr(n: number): n is Addr {
  return Number.isInteger(n) && n >= 0 && n < ADDR_LIMIT;
}

/** Brands a number as an address. Throws RangeError if it cannot be one. */
export function addr(n: number): Addr {
  if (!isAddr(n)) throw new RangeError(`${n} is not an address`);
  return n;
}

/** Returns the address `bytes` after `base`. The result is not checked: whatever reads at an address checks it. */
export function plus(base: Addr, bytes: number): Addr {
  return (base + bytes) as Addr;
}

/** Rounds `a` down to a multiple of `unit` bytes. */
export function alignDown(a: Addr, unit: number): Addr {
  return (a - (a % unit)) as Addr;
}

/** Rounds `a` up to a multiple of `unit` bytes. */
export function alignUp(a: Addr, unit: number): Addr {
  return (Math.ceil(a / unit) * unit) as Addr;
}

/** Of the addresses with the same text but for its last three digits, which neighbours have in common. */
const PAGE = 16 ** 3;
/** Those digits, by their value, as far as they were needed. */
const LAST_DIGITS: string[] = [];
/** The page that was written last, and its text: a number's own conversion takes ten times as long as all of {@link hex}. */
const lastPage = { number: 0, text: '' };

/** Formats a number as addresses are written in text and JSON: `0x4970ab`. */
export function hex(n: number | bigint): string {
  if (typeof n === 'bigint' || !(n >= PAGE && n < ADDR_LIMIT)) return `0x${n.toString(16)}`;
  const page = Math.floor(n / PAGE);
  if (page !== lastPage.number) {
    lastPage.number = page;
    lastPage.text = `0x${page.toString(16)}`;
  }
  const last = n - page * PAGE;
  return lastPage.text + (LAST_DIGITS[last] ??= last.toString(16).padStart(3, '0'));
}

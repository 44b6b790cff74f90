/**
 * Addresses in the observed process. A user-space address fits below 2^53 on amd64 and arm64, so that it is a plain
 * JavaScript number; the brand keeps it apart from file offsets, sizes and counts. Never use `& | << >>` on one: those
 * work on 32 bits.
 */
export type Addr = number & { readonly __addr: 'Addr' };

/** Words from here on are no pointers: user space ends far below 2^53 with the paging that Go programs are given. */
export const ADDR_LIMIT = Number.MAX_SAFE_INTEGER;

/** The null pointer. */
export const NIL = 0 as Addr;

/** True where `n` can be an address: a whole number from 0 below {@link ADDR_LIMIT}. */
export function isAddr(n: number): n is Addr {
  return Number.isInteger(n) && n >= 0 && n < ADDR_LIMIT;
}

/** Brands a number as an address; throws RangeError where it cannot be one. */
export function addr(n: number): Addr {
  if (!isAddr(n)) throw new RangeError(`${n} is no address`);
  return n;
}

/** The address `bytes` behind `base`. Not checked: a reader checks what it is handed. */
export function plus(base: Addr, bytes: number): Addr {
  return (base + bytes) as Addr;
}

/** `a` rounded down to a multiple of `unit` bytes. */
export function alignDown(a: Addr, unit: number): Addr {
  return (a - (a % unit)) as Addr;
}

/** `0x4970ab`, as addresses are written in text and JSON. */
export function hex(n: number | bigint): string {
  return `0x${n.toString(16)}`;
}

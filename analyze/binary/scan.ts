import type { Addr } from '../../snapshots/address.js';
import type { Memory, Range, Window } from '../../snapshots/memory.js';

/** The unit in which memory can be absent within a range. */
const PAGE = 4096;

/** Bytes to be searched, at an address. */
export interface Block {
  readonly at: Addr;
  readonly bytes: Buffer;
}

/**
 * Known memory in the given ranges, for a search of something `length` bytes long: block by block without copying, and
 * between two that touch a short one that holds whatever lies across both. So whatever is found is found once.
 */
export function* blocks(memory: Memory, ranges: Iterable<Range>, length: number): Iterable<Block> {
  const { source } = memory.unrecorded;
  for (const { lo, hi } of ranges) {
    let previous: Block | null = null;
    for (const known of source.ranges(lo, hi)) {
      for (let at: number = known.lo; at < known.hi;) {
        const window = source.window(at);
        if (window === null) {
          at = at - (at % PAGE) + PAGE;
          continue;
        }
        const block = clipped(window, at, known.hi);
        if (previous !== null && previous.at + previous.bytes.length === at) yield seam(previous, block, length - 1);
        yield block;
        previous = block;
        at += block.bytes.length;
      }
    }
  }
}

/** Addresses, multiples of `alignment`, at which `needle` lies. */
export function* findBytes(
  memory: Memory,
  ranges: Iterable<Range>,
  needle: Uint8Array,
  alignment: number,
): Iterable<Addr> {
  for (const { at, bytes } of blocks(memory, ranges, needle.length)) {
    for (let i = bytes.indexOf(needle); i >= 0; i = bytes.indexOf(needle, i + 1)) {
      if ((at + i) % alignment === 0) yield (at + i) as Addr;
    }
  }
}

/** Addresses, multiples of 8, of words that equal `value`. */
export function findWord(memory: Memory, ranges: Iterable<Range>, value: number): Iterable<Addr> {
  const needle = new Uint8Array(8);
  new DataView(needle.buffer).setBigUint64(0, BigInt(value), true);
  return findBytes(memory, ranges, needle, 8);
}

function clipped(window: Window, at: number, hi: number): Block {
  const { buffer, byteOffset } = window.view;
  const length = Math.min(window.hi, hi) - at;
  return { at: at as Addr, bytes: Buffer.from(buffer, byteOffset + (at - window.lo), length) };
}

function seam(before: Block, after: Block, reach: number): Block {
  const tail = before.bytes.subarray(Math.max(0, before.bytes.length - reach));
  const bytes = Buffer.concat([tail, after.bytes.subarray(0, reach)]);
  return { at: (after.at - tail.length) as Addr, bytes };
}

import type { Addr } from '../../snapshots/address.js';
import type { Memory, Range, Window } from '../../snapshots/memory.js';

/** Memory is present or absent by whole pages. */
const PAGE = 4096;

/** Bytes to search, and the address of the first. */
export interface Block {
  readonly at: Addr;
  readonly bytes: Buffer;
}

/**
 * Yields the known memory of the given ranges in blocks, without copying it, for a search for something `length` bytes
 * long. Between two blocks that touch comes a short one with the bytes around their border, so that what lies across it
 * is found too. Nothing of `length` bytes is found twice.
 */
export function* blocks(memory: Memory, ranges: Iterable<Range>, length: number): Iterable<Block> {
  const { source } = memory.unrecorded;
  for (const { lo, hi } of ranges) {
    let end = lo;
    // The bytes before `end`, fewer than `length`: blocks may be shorter than what is searched.
    let tail: Buffer = Buffer.alloc(0);
    for (const known of source.ranges(lo, hi)) {
      for (let at: number = known.lo; at < known.hi;) {
        const window = source.window(at);
        if (window === null) {
          at = at - (at % PAGE) + PAGE;
          continue;
        }
        const block = clip(window, at, known.hi);
        if (end !== at) tail = Buffer.alloc(0);
        const border = Buffer.concat([tail, block.bytes.subarray(0, length - 1)]);
        if (tail.length > 0) yield { at: (at - tail.length) as Addr, bytes: border };
        yield block;
        const last = block.bytes.length < length ? border : block.bytes;
        tail = last.subarray(Math.max(0, last.length - length + 1));
        at += block.bytes.length;
        end = at as Addr;
      }
    }
  }
}

/**
 * Addresses of `needle` that are multiples of `alignment`. The search is not recorded, but what it finds is read: the same search
 * of a snapshot finds it, too.
 */
export function* findBytes(
  memory: Memory,
  ranges: Iterable<Range>,
  needle: Uint8Array,
  alignment: number,
): Iterable<Addr> {
  for (const { at, bytes } of blocks(memory, ranges, needle.length)) {
    for (let i = bytes.indexOf(needle); i >= 0; i = bytes.indexOf(needle, i + 1)) {
      const found = (at + i) as Addr;
      if (found % alignment !== 0) continue;
      memory.has(found, needle.length);
      yield found;
    }
  }
}

/** Addresses, multiples of 8, of 64-bit words that equal `value`. */
export function findWord(memory: Memory, ranges: Iterable<Range>, value: number): Iterable<Addr> {
  const needle = new Uint8Array(8);
  new DataView(needle.buffer).setBigUint64(0, BigInt(value), true);
  return findBytes(memory, ranges, needle, 8);
}

function clip(window: Window, at: number, hi: number): Block {
  const { buffer, byteOffset } = window.view;
  const length = Math.min(window.hi, hi) - at;
  return { at: at as Addr, bytes: Buffer.from(buffer, byteOffset + (at - window.lo), length) };
}

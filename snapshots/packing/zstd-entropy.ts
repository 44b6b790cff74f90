import { BytesError } from '../bytes.js';

/** floor(log2(n)) of a whole number from 1 to 2^31. */
export function highestBit(n: number): number {
  return 31 - Math.clz32(n);
}

/** Bits that are read from the end of some bytes to their beginning (RFC 8878, 4.1). */
export class BackwardBits {
  /** Number of bits that are left. Below 0 once more were read than there are: those are zero. */
  left: number;
  /** Followed by zeros, so that a few bytes can be read at once anywhere. */
  readonly #view: DataView;

  /** The highest bit set in the last byte only marks the end. Throws BytesError where there is none. */
  constructor(bytes: Uint8Array) {
    const last = bytes[bytes.length - 1] ?? 0;
    if (last === 0) throw new BytesError('a bit stream has no end mark');
    const padded = new Uint8Array(bytes.length + 8);
    padded.set(bytes);
    this.#view = new DataView(padded.buffer);
    this.left = (bytes.length - 1) * 8 + highestBit(last);
  }

  /** Returns the next `count` bits, at most 31. */
  read(count: number): number {
    this.left -= count;
    return this.#at(this.left, count);
  }

  /** Returns the next `count` bits, at most 16, without taking them. */
  peek(count: number): number {
    return this.#at(this.left - count, count);
  }

  /** Returns the bits [at, at + count); those below 0 are zero. */
  #at(at: number, count: number): number {
    if (at < 0) return at + count <= 0 ? 0 : (this.#at(0, at + count) << -at) >>> 0;
    const shift = at & 7;
    let bits = this.#view.getUint32(at >>> 3, true) >>> shift;
    if (shift + count > 32) bits |= this.#view.getUint8((at >>> 3) + 4) << (32 - shift);
    return bits & ((1 << count) - 1);
  }
}

/** A table of finite state entropy: for each state the symbol, and how the next state is read (RFC 8878, 4.1.1). */
export interface FseTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

/** Builds a table from the counts of symbols, -1 for "less than one". Throws BytesError where they do not fill it. */
export function fseTable(counts: readonly number[], log: number): FseTable {
  const size = 2 ** log;
  const symbols = new Uint8Array(size);
  const next = new Uint16Array(counts.length);
  let high = size;
  for (const [symbol, count] of counts.entries()) {
    if (count === -1) symbols[--high] = symbol;
    next[symbol] = Math.abs(count);
  }
  const step = size / 2 + size / 8 + 3;
  let at = 0;
  for (const [symbol, count] of counts.entries()) {
    for (let i = 0; i < count; i++) {
      symbols[at] = symbol;
      do at = (at + step) % size;
      while (at >= high);
    }
  }
  if (at !== 0) throw new BytesError('the counts of an entropy table do not add up');
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const symbol = symbols[state] ?? 0;
    const n = next[symbol] ?? 0;
    next[symbol] = n + 1;
    const width = log - highestBit(n);
    bits[state] = width;
    bases[state] = n * 2 ** width - size;
  }
  return { log, symbols, bits, bases };
}

/** The table that always gives one symbol, and reads nothing. */
export function constantTable(symbol: number): FseTable {
  return { log: 0, symbols: Uint8Array.of(symbol), bits: Uint8Array.of(0), bases: Uint16Array.of(0) };
}

/** Reads a table for symbols up to `mostSymbol`. Returns how many bytes it takes, too. Throws BytesError. */
export function readFseTable(
  bytes: Uint8Array,
  mostLog: number,
  mostSymbol: number,
): { table: FseTable; length: number } {
  let at = 4;
  const read = (count: number): number => {
    const first = at >>> 3;
    const word = (bytes[first] ?? 0) | ((bytes[first + 1] ?? 0) << 8) | ((bytes[first + 2] ?? 0) << 16);
    at += count;
    return (word >>> ((at - count) & 7)) & (2 ** count - 1);
  };
  const log = ((bytes[0] ?? 0) & 15) + 5;
  if (log > mostLog) throw new BytesError('an entropy table is too large');
  const counts: number[] = [];
  let remaining = 2 ** log;
  while (remaining > 0 && counts.length <= mostSymbol) {
    const width = highestBit(remaining + 1) + 1;
    let value = read(width);
    const lower = 2 ** (width - 1) - 1;
    const threshold = 2 ** width - 2 - remaining;
    if ((value & lower) < threshold) {
      at--;
      value &= lower;
    } else if (value > lower) {
      value -= threshold;
    }
    counts.push(value - 1);
    remaining -= Math.abs(value - 1);
    for (let zeros = value === 1 ? 3 : 0; zeros === 3;) {
      zeros = read(2);
      for (let i = 0; i < zeros; i++) counts.push(0);
    }
    if (counts.length > mostSymbol + 1) break;
  }
  const length = (at + 7) >>> 3;
  if (remaining !== 0 || counts.length > mostSymbol + 1 || length > bytes.length) {
    throw new BytesError('an entropy table is damaged');
  }
  return { table: fseTable(counts, log), length };
}

/** A Huffman code: for each `log` bits the symbol that they begin with, and its length (RFC 8878, 4.2.1). */
export interface HuffmanTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

const MOST_HUFFMAN_BITS = 11;
const MOST_WEIGHTS_LOG = 6;
const MOST_WEIGHTS = 255;

/** Reads a Huffman code. Returns how many bytes it takes, too. Throws BytesError. */
export function readHuffmanTable(bytes: Uint8Array): { table: HuffmanTable; length: number } {
  const head = bytes[0] ?? 0;
  const length = 1 + (head < 128 ? head : (head - 126) >>> 1);
  if (length > bytes.length) throw new BytesError('a Huffman code is cut');
  const content = bytes.subarray(1, length);
  const weights =
    head < 128
      ? readWeights(content)
      : Array.from({ length: head - 127 }, (_, i) => ((content[i >>> 1] ?? 0) >>> (i % 2 === 0 ? 4 : 0)) & 15);
  return { table: huffmanTable(weights), length };
}

/** Reads weights from two states that take turns. */
function readWeights(bytes: Uint8Array): number[] {
  const { table, length } = readFseTable(bytes, MOST_WEIGHTS_LOG, MOST_HUFFMAN_BITS + 1);
  const bits = new BackwardBits(bytes.subarray(length));
  const states: [number, number] = [bits.read(table.log), bits.read(table.log)];
  const weights: number[] = [];
  for (let turn = 0; ; turn = 1 - turn) {
    const state = states[turn === 0 ? 0 : 1];
    weights.push(table.symbols[state] ?? 0);
    states[turn === 0 ? 0 : 1] = (table.bases[state] ?? 0) + bits.read(table.bits[state] ?? 0);
    if (bits.left < 0) {
      weights.push(table.symbols[states[turn === 0 ? 1 : 0]] ?? 0);
      break;
    }
    // A table of one symbol reads no bits, and would never end.
    if (weights.length >= MOST_WEIGHTS) throw new BytesError('a Huffman code has too many symbols');
  }
  if (weights.length > MOST_WEIGHTS) throw new BytesError('a Huffman code has too many symbols');
  return weights;
}

/** Builds a code from weights; that of the last symbol follows from the others. */
function huffmanTable(weights: number[]): HuffmanTable {
  let sum = 0;
  for (const weight of weights) {
    if (weight > MOST_HUFFMAN_BITS) throw new BytesError('a Huffman code is too long');
    if (weight > 0) sum += 2 ** (weight - 1);
  }
  if (sum === 0) throw new BytesError('a Huffman code has no symbols');
  const log = highestBit(sum) + 1;
  const left = 2 ** log - sum;
  if (log > MOST_HUFFMAN_BITS || 2 ** highestBit(left) !== left) throw new BytesError('a Huffman code is damaged');
  const all = [...weights, highestBit(left) + 1];
  const symbols = new Uint8Array(2 ** log);
  const bits = new Uint8Array(2 ** log);
  let at = 0;
  // The longest codes, which have the least weight, come first; those of a length in the order of their symbols.
  for (let weight = 1; weight <= log; weight++) {
    for (const [symbol, own] of all.entries()) {
      if (own !== weight) continue;
      const end = at + 2 ** (weight - 1);
      symbols.fill(symbol, at, end);
      bits.fill(log + 1 - weight, at, end);
      at = end;
    }
  }
  return { log, symbols, bits };
}

/** Decodes bits into exactly `out.length` symbols. Throws BytesError where they are more or fewer. */
export function decodeHuffman({ log, symbols, bits }: HuffmanTable, bytes: Uint8Array, out: Uint8Array): void {
  const stream = new BackwardBits(bytes);
  for (let i = 0; i < out.length; i++) {
    const code = stream.peek(log);
    out[i] = symbols[code] ?? 0;
    stream.left -= bits[code] ?? 0;
  }
  if (stream.left !== 0) throw new BytesError('literals do not fill their stream');
}

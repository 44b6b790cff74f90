import { BytesError } from '../bytes.js';
import {
  BackwardBits,
  constantTable,
  decodeHuffman,
  fseTable,
  readFseTable,
  readHuffmanTable,
  type FseTable,
  type HuffmanTable,
} from './zstd-entropy.js';

/** Largest size of a block's content, in bytes. */
export const MOST_BLOCK = 2 ** 17;

/** One of the three kinds of codes of a sequence: its lengths of extra bits, and the values that they are added to. */
interface Codes {
  readonly bits: Uint8Array;
  readonly bases: Uint32Array;
  readonly mostLog: number;
  readonly standard: FseTable;
}

/** `runs` has, for ascending codes, how many have as many extra bits. Values follow each other without gaps. */
function codes(
  first: number,
  runs: readonly [bits: number, codes: number][],
  mostLog: number,
  standard: FseTable,
): Codes {
  const bits = Uint8Array.from(runs.flatMap(([n, count]) => Array.from({ length: count }, () => n)));
  let base = first;
  const bases = Uint32Array.from(bits, (n) => {
    base += 2 ** n;
    return base - 2 ** n;
  });
  return { bits, bases, mostLog, standard };
}

/** RFC 8878, 3.1.1.3.2.1.1 and 3.1.1.3.2.2. */
const LITERAL_LENGTHS = codes(
  0,
  [
    [0, 16],
    [1, 4],
    [2, 2],
    [3, 2],
    [4, 1],
    [6, 1],
    [7, 1],
    [8, 1],
    [9, 1],
    [10, 1],
    [11, 1],
    [12, 1],
    [13, 1],
    [14, 1],
    [15, 1],
    [16, 1],
  ],
  9,
  fseTable(
    [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1],
    6,
  ),
);
const MATCH_LENGTHS = codes(
  3,
  [
    [0, 32],
    [1, 4],
    [2, 2],
    [3, 2],
    [4, 2],
    [5, 1],
    [7, 1],
    [8, 1],
    [9, 1],
    [10, 1],
    [11, 1],
    [12, 1],
    [13, 1],
    [14, 1],
    [15, 1],
    [16, 1],
  ],
  9,
  fseTable(
    [
      ...[
        1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1,
      ],
      ...[1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1],
    ],
    6,
  ),
);
/** The value of code n has n extra bits and is at least 2^n. */
const OFFSETS = codes(
  1,
  Array.from({ length: 32 }, (_, n) => [n, 1]),
  8,
  fseTable([1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1], 5),
);

/** Bytes that were unpacked before, as far back as a frame refers to them, and room for those to come. */
export interface History {
  readonly bytes: Uint8Array;
  /** Where the next byte goes. All before it belong to the same frame. */
  end: number;
}

/** The literals of the block that is being decoded. */
const LITERALS = new Uint8Array(MOST_BLOCK);

/** Decodes the compressed blocks of a frame, which refer to each other (RFC 8878, 3.1.1.3). */
export class BlockDecoder {
  readonly #recent: [number, number, number] = [1, 4, 8];
  #huffman: HuffmanTable | null = null;
  #tables: [FseTable, FseTable, FseTable] | null = null;

  /** Appends the content of a block, at most {@link MOST_BLOCK} bytes, to `history`. Throws BytesError. */
  decode(block: Uint8Array, history: History): void {
    const { literals, rest } = this.#readLiterals(block);
    const [head = 0, second = 0, third = 0] = rest;
    const width = head < 128 ? 1 : head < 255 ? 2 : 3;
    const count = head < 128 ? head : head < 255 ? (head - 128) * 256 + second : second + third * 256 + 0x7f00;
    if (rest.length < width) throw new BytesError('a block ends early');
    if (count === 0) {
      if (rest.length > 1) throw new BytesError('bytes follow the literals of a block');
      append(history, literals, 0, literals.length, history.end + MOST_BLOCK);
      return;
    }
    const start = this.#readTables(rest, width);
    this.#execute(new BackwardBits(rest.subarray(start)), count, literals, history);
  }

  #readLiterals(block: Uint8Array): { literals: Uint8Array; rest: Uint8Array } {
    const head = block[0] ?? 0;
    const kind = head & 3;
    const format = (head >>> 2) & 3;
    const at = (i: number): number => block[i] ?? 0;
    if (kind < 2) {
      const width = format % 2 === 0 ? 1 : format === 1 ? 2 : 3;
      const size = width === 1 ? head >>> 3 : (head >>> 4) + at(1) * 16 + (width === 3 ? at(2) * 4096 : 0);
      const end = width + (kind === 0 ? size : 1);
      if (size > MOST_BLOCK || end > block.length) throw new BytesError('the literals of a block are cut');
      const literals = kind === 0 ? block.subarray(width, end) : LITERALS.subarray(0, size).fill(at(width));
      return { literals, rest: block.subarray(end) };
    }
    const width = format < 2 ? 3 : format + 2;
    const bits = format < 2 ? 10 : format === 2 ? 14 : 18;
    let sizes = Math.floor(head / 16);
    for (let i = 1; i < width; i++) sizes += at(i) * 2 ** (8 * i - 4);
    const size = sizes % 2 ** bits;
    const end = width + Math.floor(sizes / 2 ** bits);
    if (size > MOST_BLOCK || end > block.length) throw new BytesError('the literals of a block are cut');
    let packed = block.subarray(width, end);
    if (kind === 2) {
      const { table, length } = readHuffmanTable(packed);
      this.#huffman = table;
      packed = packed.subarray(length);
    }
    if (this.#huffman === null) throw new BytesError('a block uses a Huffman code before there is one');
    const literals = LITERALS.subarray(0, size);
    if (format === 0) decodeHuffman(this.#huffman, packed, literals);
    else decodeStreams(this.#huffman, packed, literals);
    return { literals, rest: block.subarray(end) };
  }

  /** Reads the tables of a block's sequences, whose modes are at `at`. Returns where the bits of the sequences start. */
  #readTables(bytes: Uint8Array, at: number): number {
    const modes = bytes[at];
    if (modes === undefined || modes % 4 !== 0) throw new BytesError('the sequences of a block are damaged');
    let next = at + 1;
    const read = ({ standard, mostLog, bits }: Codes, mode: number, before: FseTable | undefined): FseTable => {
      if (mode === 0) return standard;
      if (mode === 1) {
        const symbol = bytes[next++];
        if (symbol === undefined || symbol >= bits.length) throw new BytesError('a code of a sequence does not exist');
        return constantTable(symbol);
      }
      if (mode === 2) {
        const { table, length } = readFseTable(bytes.subarray(next), mostLog, bits.length - 1);
        next += length;
        return table;
      }
      if (before === undefined) throw new BytesError('a block uses an entropy table before there is one');
      return before;
    };
    const before = this.#tables;
    const literals = read(LITERAL_LENGTHS, modes >>> 6, before?.[0]);
    const offsets = read(OFFSETS, (modes >>> 4) & 3, before?.[1]);
    this.#tables = [literals, offsets, read(MATCH_LENGTHS, (modes >>> 2) & 3, before?.[2])];
    return next;
  }

  /** Copies literals and what was unpacked before, in turns, as the sequences say. */
  #execute(bits: BackwardBits, count: number, literals: Uint8Array, history: History): void {
    const [lengths, offsets, matches] = this.#tables ?? [];
    if (lengths === undefined || offsets === undefined || matches === undefined) return;
    const limit = history.end + MOST_BLOCK;
    let lengthState = bits.read(lengths.log);
    let offsetState = bits.read(offsets.log);
    let matchState = bits.read(matches.log);
    let used = 0;
    for (let i = 1; i <= count; i++) {
      const offsetCode = offsets.symbols[offsetState] ?? 0;
      const matchCode = matches.symbols[matchState] ?? 0;
      const lengthCode = lengths.symbols[lengthState] ?? 0;
      const offsetValue = ((1 << offsetCode) >>> 0) + bits.read(offsetCode);
      const matchLength = (MATCH_LENGTHS.bases[matchCode] ?? 0) + bits.read(MATCH_LENGTHS.bits[matchCode] ?? 0);
      const length = (LITERAL_LENGTHS.bases[lengthCode] ?? 0) + bits.read(LITERAL_LENGTHS.bits[lengthCode] ?? 0);
      if (i < count) {
        lengthState = (lengths.bases[lengthState] ?? 0) + bits.read(lengths.bits[lengthState] ?? 0);
        matchState = (matches.bases[matchState] ?? 0) + bits.read(matches.bits[matchState] ?? 0);
        offsetState = (offsets.bases[offsetState] ?? 0) + bits.read(offsets.bits[offsetState] ?? 0);
      }
      if (bits.left < 0 || length > literals.length - used) throw new BytesError('a sequence is damaged');
      append(history, literals, used, length, limit);
      used += length;
      repeat(history, this.#offset(offsetValue, length === 0), matchLength, limit);
    }
    if (bits.left !== 0) throw new BytesError('the sequences of a block do not fill it');
    append(history, literals, used, literals.length - used, limit);
  }

  /** Returns how far back a value points: the values up to 3 stand for distances of before. */
  #offset(value: number, noLiterals: boolean): number {
    const recent = this.#recent;
    const which = value - 1 + (noLiterals ? 1 : 0);
    if (value <= 3 && which === 0) return recent[0];
    const offset = value > 3 ? value - 3 : which === 1 ? recent[1] : which === 2 ? recent[2] : recent[0] - 1;
    if (value > 3 || which > 1) recent[2] = recent[1];
    recent[1] = recent[0];
    recent[0] = offset;
    return offset;
  }
}

function decodeStreams(table: HuffmanTable, bytes: Uint8Array, out: Uint8Array): void {
  const size = (i: number): number => (bytes[2 * i] ?? 0) + (bytes[2 * i + 1] ?? 0) * 256;
  const share = (out.length + 3) >>> 2;
  let at = 6;
  for (let i = 0; i < 4; i++) {
    const end = i < 3 ? at + size(i) : bytes.length;
    if (end > bytes.length || 3 * share > out.length) throw new BytesError('the literals of a block are cut');
    decodeHuffman(table, bytes.subarray(at, end), out.subarray(i * share, i < 3 ? (i + 1) * share : out.length));
    at = end;
  }
}

/** From this many bytes on, a call copies faster than a loop. */
const LONG = 64;

/** Copies `length` literals from index `from` on. */
function append(history: History, literals: Uint8Array, from: number, length: number, limit: number): void {
  const { bytes, end } = history;
  if (end + length > limit) throw new BytesError('a block is too long');
  if (length >= LONG) bytes.set(literals.subarray(from, from + length), end);
  else for (let i = 0; i < length; i++) bytes[end + i] = literals[from + i] ?? 0;
  history.end = end + length;
}

/** Repeats `length` bytes from `offset` bytes ago. They may overlap those that they become. */
function repeat(history: History, offset: number, length: number, limit: number): void {
  const { bytes, end } = history;
  if (offset <= 0 || offset > end) throw new BytesError('a sequence refers to bytes before the first');
  if (end + length > limit) throw new BytesError('a block is too long');
  if (length >= LONG && offset >= length) bytes.copyWithin(end, end - offset, end - offset + length);
  else for (let at = end; at < end + length; at++) bytes[at] = bytes[at - offset] ?? 0;
  history.end = end + length;
}

import { Packr, Unpackr } from 'msgpackr';
import { BytesError } from '../bytes.js';

const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });

const MAX_DEPTH = 16;

/** Encodes maps with string keys, arrays, strings, bin, numbers, booleans and nil. A bigint always takes 9 bytes. */
export function pack(value: unknown): Buffer {
  return Buffer.from(packr.pack(value));
}

/**
 * Decodes the one msgpack object that fills `bytes`. Throws {@link BytesError} if it is broken or cut short, if anything
 * follows it, if it contains extension types or map keys that are not strings, or if it has more than `maxItems` values.
 * All of this is checked before anything is allocated. Bin fields are views into `bytes`.
 */
export function unpack(bytes: Uint8Array, maxItems: number): unknown {
  const end = measure(bytes, maxItems);
  if (end !== bytes.length) throw new BytesError(`${bytes.length - end} bytes follow the msgpack object`);
  try {
    return unpackr.unpack(bytes) as unknown;
  } catch (error) {
    throw new BytesError(`msgpack: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * Returns the length in bytes of the msgpack object at the start of `bytes`, without decoding it. Throws
 * {@link BytesError} as {@link unpack} does. Decoders allocate arrays and maps by the lengths in the file; this checks
 * first that so many values can follow.
 */
export function measure(bytes: Uint8Array, maxItems: number): number {
  // Of the containers around the current value: how many values are still to come, and whether it is a map.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const left = [1];
  const isMap = [false];
  let at = 0;
  let items = 0;
  while (left.length > 0) {
    const depth = left.length - 1;
    const remaining = left[depth] ?? 0;
    if (remaining === 0) {
      left.pop();
      isMap.pop();
      continue;
    }
    left[depth] = remaining - 1;
    if (++items > maxItems) throw new BytesError(`more than ${maxItems} values`);
    if (at >= bytes.length) throw new BytesError(`msgpack ends early, at ${at}`);
    const item = head(view, at);
    if (isMap[depth] === true && remaining % 2 === 0 && item.type !== 'text') {
      throw new BytesError(`the map key at ${at} is not a string`);
    }
    at += item.size;
    if (at + item.children > bytes.length) throw new BytesError(`msgpack ends early, at ${bytes.length}`);
    if (item.children > 0) {
      if (left.length >= MAX_DEPTH) throw new BytesError(`msgpack at ${at} is nested too deeply`);
      left.push(item.children);
      isMap.push(item.type === 'map');
    }
  }
  return at;
}

/** The start of a msgpack value. */
interface Head {
  readonly type: 'text' | 'map' | 'other';
  /** Length in bytes: of an array or map up to its first value, else of the whole value. */
  readonly size: number;
  /** Number of values inside: for a map, twice the number of pairs. */
  readonly children: number;
}

const SCALAR_SIZES: Readonly<Record<number, number>> = {
  0xc0: 1, // nil
  0xc2: 1, // false
  0xc3: 1, // true
  0xca: 5, // float 32
  0xcb: 9, // float 64
  0xcc: 2, // uint 8
  0xcd: 3,
  0xce: 5,
  0xcf: 9,
  0xd0: 2, // int 8
  0xd1: 3,
  0xd2: 5,
  0xd3: 9,
};

function head(view: DataView, at: number): Head {
  const b = view.getUint8(at);
  if (b < 0x80 || b >= 0xe0) return { type: 'other', size: 1, children: 0 };
  if (b < 0x90) return { type: 'map', size: 1, children: (b - 0x80) * 2 };
  if (b < 0xa0) return { type: 'other', size: 1, children: b - 0x90 };
  if (b < 0xc0) return { type: 'text', size: 1 + (b - 0xa0), children: 0 };
  const scalar = SCALAR_SIZES[b];
  if (scalar !== undefined) return { type: 'other', size: scalar, children: 0 };
  const width = LENGTH_WIDTHS[b];
  if (width === undefined) throw new BytesError(`the type 0x${b.toString(16)} at ${at} is not used in this format`);
  const size = 1 + width;
  if (at + size > view.byteLength) throw new BytesError(`msgpack ends early, at ${view.byteLength}`);
  const n = width === 1 ? view.getUint8(at + 1) : width === 2 ? view.getUint16(at + 1) : view.getUint32(at + 1);
  if (b >= 0xde) return { type: 'map', size, children: n * 2 };
  if (b >= 0xdc) return { type: 'other', size, children: n };
  return { type: b >= 0xd9 ? 'text' : 'other', size: size + n, children: 0 };
}

/** Width in bytes of the length that follows a type byte: bin, str, array, map. Extension types are not used. */
const LENGTH_WIDTHS: Readonly<Record<number, 1 | 2 | 4>> = {
  0xc4: 1,
  0xc5: 2,
  0xc6: 4,
  0xd9: 1,
  0xda: 2,
  0xdb: 4,
  0xdc: 2,
  0xdd: 4,
  0xde: 2,
  0xdf: 4,
};

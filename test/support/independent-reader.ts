import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';

/** A reader of .gsp files that was written from docs/format.md alone and shares no code with gospy. */
export interface ReadFile {
  /** Names of the objects in file order. */
  readonly objects: readonly string[];
  readonly header: Plain;
  readonly facts: Plain;
  /** Each range with its bytes, in the order of the file. */
  readonly memory: readonly { lo: number; bytes: Buffer }[];
}

export interface Plain {
  readonly [key: string]: Value;
}
type Value = null | boolean | number | bigint | string | Buffer | Value[] | Plain;

const TRAILER_LENGTH = 169;

export function readByTheBook(file: Buffer): ReadFile {
  const objects = walk(file);
  const header = asMap(objects[0]?.value);
  const trailer = asMap(decodeAt(file, file.length - TRAILER_LENGTH).value);
  if (trailer['trailer'] !== 'gospy') throw new Error('no trailer');
  if (asNumber(trailer['sizeBytes']) !== file.length || asNumber(header['sizeBytes']) !== file.length) {
    throw new Error('wrong size');
  }
  const headerEnd = objects[0]?.end ?? 0;
  compare(file.subarray(0, headerEnd), trailer['headerSha256']);
  const index = asMap(
    content(file, asNumber(trailer['indexOffset']), asNumber(trailer['indexLength']), trailer['indexSha256']),
  );
  const memory: { lo: number; bytes: Buffer }[] = [];
  let facts: Plain | null = null;
  for (const item of asList(index['sections'])) {
    const entry = asMap(item);
    const raw = inflated(file, asNumber(entry['offset']), asNumber(entry['length']), entry['sha256']);
    if (raw.length !== asNumber(entry['rawBytes'])) throw new Error('wrong length');
    if (entry['name'] === 'facts') facts = asMap(decodeAt(raw, 0).value);
    if (entry['name'] !== 'memory') continue;
    let at = 0;
    for (const [lo, hi] of rangesIn(asBytes(entry['ranges']))) {
      memory.push({ lo, bytes: raw.subarray(at, at + hi - lo) });
      at += hi - lo;
    }
    if (at !== raw.length) throw new Error('ranges and bytes differ');
  }
  if (facts === null) throw new Error('no facts');
  return { objects: objects.map(({ value }) => nameOf(asMap(value))), header, facts, memory };
}

function nameOf(object: Plain): string {
  const section = object['section'];
  if (typeof section === 'string') return section;
  return 'format' in object ? 'header' : 'trailer' in object ? 'trailer' : '?';
}

function walk(file: Buffer): { value: Value; end: number }[] {
  const out: { value: Value; end: number }[] = [];
  for (let at = 0; at < file.length;) {
    const object = decodeAt(file, at);
    out.push(object);
    at = object.end;
  }
  return out;
}

function content(file: Buffer, offset: number, length: number, digest: Value | undefined): Value {
  return decodeAt(inflated(file, offset, length, digest), 0).value;
}

function inflated(file: Buffer, offset: number, length: number, digest: Value | undefined): Buffer {
  const bytes = file.subarray(offset, offset + length);
  compare(bytes, digest);
  const { value, end } = decodeAt(bytes, 0);
  if (end !== length) throw new Error('an object ends early');
  const section = asMap(value);
  if (section['encoding'] !== 'deflate-raw') throw new Error('unknown encoding');
  return inflateRawSync(asBytes(section['data']));
}

function compare(bytes: Buffer, digest: Value | undefined): void {
  if (!createHash('sha256').update(bytes).digest().equals(asBytes(digest))) throw new Error('wrong digest');
}

function rangesIn(bytes: Buffer): [number, number][] {
  const numbers: number[] = [];
  let value = 0;
  let scale = 1;
  for (const b of bytes) {
    value += (b % 128) * scale;
    scale *= 128;
    if (b >= 128) continue;
    numbers.push(value);
    value = 0;
    scale = 1;
  }
  const out: [number, number][] = [];
  let end = 0;
  for (let i = 0; i < numbers.length; i += 2) {
    const zigzag = numbers[i] ?? 0;
    const lo = end + (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);
    end = lo + (numbers[i + 1] ?? 0);
    out.push([lo, end]);
  }
  return out;
}

function decodeAt(b: Buffer, at: number): { value: Value; end: number } {
  const type = b.readUInt8(at);
  const one = (value: Value, size: number): { value: Value; end: number } => ({ value, end: at + 1 + size });
  const many = (count: number, from: number): { values: Value[]; end: number } => {
    const values: Value[] = [];
    let end = from;
    for (let i = 0; i < count; i++) {
      const item = decodeAt(b, end);
      values.push(item.value);
      end = item.end;
    }
    return { values, end };
  };
  const list = (count: number, from: number): { value: Value; end: number } => {
    const { values, end } = many(count, from);
    return { value: values, end };
  };
  const map = (count: number, from: number): { value: Value; end: number } => {
    const { values, end } = many(count * 2, from);
    const out: Record<string, Value> = {};
    for (let i = 0; i < values.length; i += 2) {
      const key = values[i];
      if (typeof key !== 'string') throw new Error('a key that is no str');
      out[key] = values[i + 1] ?? null;
    }
    return { value: out, end };
  };
  const text = (length: number, from: number): { value: Value; end: number } => {
    return { value: b.toString('utf8', from, from + length), end: from + length };
  };
  const bin = (length: number, from: number): { value: Value; end: number } => {
    return { value: b.subarray(from, from + length), end: from + length };
  };
  if (type < 0x80) return one(type, 0);
  if (type < 0x90) return map(type - 0x80, at + 1);
  if (type < 0xa0) return list(type - 0x90, at + 1);
  if (type < 0xc0) return text(type - 0xa0, at + 1);
  if (type >= 0xe0) return one(type - 256, 0);
  switch (type) {
    case 0xc0:
      return one(null, 0);
    case 0xc2:
      return one(false, 0);
    case 0xc3:
      return one(true, 0);
    case 0xc4:
      return bin(b.readUInt8(at + 1), at + 2);
    case 0xc5:
      return bin(b.readUInt16BE(at + 1), at + 3);
    case 0xc6:
      return bin(b.readUInt32BE(at + 1), at + 5);
    case 0xcb:
      return one(b.readDoubleBE(at + 1), 8);
    case 0xcc:
      return one(b.readUInt8(at + 1), 1);
    case 0xcd:
      return one(b.readUInt16BE(at + 1), 2);
    case 0xce:
      return one(b.readUInt32BE(at + 1), 4);
    case 0xcf:
      return one(b.readBigUInt64BE(at + 1), 8);
    case 0xd3:
      return one(b.readBigInt64BE(at + 1), 8);
    case 0xd9:
      return text(b.readUInt8(at + 1), at + 2);
    case 0xda:
      return text(b.readUInt16BE(at + 1), at + 3);
    case 0xdc:
      return list(b.readUInt16BE(at + 1), at + 3);
    case 0xdd:
      return list(b.readUInt32BE(at + 1), at + 5);
    case 0xde:
      return map(b.readUInt16BE(at + 1), at + 3);
    default:
      throw new Error(`type ${type.toString(16)} at ${at} is not in docs/format.md`);
  }
}

function asMap(value: Value | undefined): Plain {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Buffer.isBuffer(value)) {
    throw new Error('no map');
  }
  return value;
}

function asList(value: Value | undefined): Value[] {
  if (!Array.isArray(value)) throw new Error('no array');
  return value;
}

function asBytes(value: Value | undefined): Buffer {
  if (!Buffer.isBuffer(value)) throw new Error('no bin');
  return value;
}

function asNumber(value: Value | undefined): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  throw new Error('no number');
}

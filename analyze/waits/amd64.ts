import type { Flow } from './instruction.js';

/** Register numbers that code gives a role of its own. */
export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

/** No register. */
const NONE = -1;
/** Longest instruction of the architecture. */
const MAX_LENGTH = 15;

/**
 * Decodes machine code of amd64 (Intel SDM volume 2, chapter 2 and appendix A) as far as it takes to know where an
 * instruction ends, where it goes, and its operands in memory and general registers. One object for all of them: its
 * fields are those of the instruction decoded last.
 */
export class Amd64Decoder {
  /** Where it begins in the code, and where the next one does. */
  at = 0;
  end = 0;
  /** 0 for opcodes of one byte, 1 after 0F, 2 after 0F 38, 3 after 0F 3A. */
  map = 0;
  opcode = 0;
  /** True for a VEX or EVEX prefix. */
  isVector = false;
  isLocked = false;
  isRepeated = false;
  /** True for operands of 64 bits. */
  isWide = false;
  hasModrm = false;
  /** The register operand of modrm, or the extension of the opcode. */
  reg = 0;
  /** The register that the other operand is; -1 where it is memory. */
  rm = NONE;
  /** The operand in memory: registers that are added, -1 for none, and a number. */
  base = NONE;
  index = NONE;
  /** How many times the index is added. */
  scale = 1;
  displacement = 0;
  /** True where the displacement counts from {@link end}. */
  isRelative = false;
  immediate = 0;
  flow: Flow = 'next';
  /** Where a direct call, jump or branch goes, as an offset in the code. */
  target = 0;

  /** Decodes the instruction at an offset. Returns false for bytes that are none, or none that is known. */
  decode(code: DataView, at: number): boolean {
    const limit = Math.min(code.byteLength, at + MAX_LENGTH);
    this.#reset(at);
    let i = at;
    let rex = 0;
    let is16 = false;
    for (; i < limit; i++) {
      const byte = code.getUint8(i);
      if (byte === 0x66) is16 = true;
      else if (byte === 0xf0) this.isLocked = true;
      else if (byte === 0xf2 || byte === 0xf3) this.isRepeated = true;
      else if (byte === 0x67) return false;
      else if (!SEGMENTS.has(byte)) break;
    }
    if (i < limit && (code.getUint8(i) & 0xf0) === 0x40) rex = code.getUint8(i++);
    if (i + 1 > limit) return false;
    let opcode = code.getUint8(i++);
    if (opcode === 0xc4 || opcode === 0xc5 || opcode === 0x62) {
      const length = opcode === 0xc5 ? 1 : opcode === 0xc4 ? 2 : 3;
      if (rex !== 0 || i + length + 1 > limit) return false;
      const first = code.getUint8(i);
      this.isVector = true;
      this.map = length === 1 ? 1 : first & (length === 2 ? 0x1f : 7);
      rex = (~first >>> 5) & (length === 1 ? 4 : 7);
      if (length > 1 && (code.getUint8(i + 1) & 0x80) !== 0) rex |= 8;
      if (this.map < 1 || this.map > 3) return false;
      i += length;
      opcode = code.getUint8(i++);
    } else if (opcode === 0x0f) {
      if (i >= limit) return false;
      opcode = code.getUint8(i++);
      this.map = opcode === 0x38 ? 2 : opcode === 0x3a ? 3 : 1;
      if (this.map > 1) {
        if (i >= limit) return false;
        opcode = code.getUint8(i++);
      }
    }
    this.opcode = opcode;
    this.isWide = (rex & 8) !== 0;
    const shape = this.map === 0 ? ONE_BYTE[opcode] : this.map === 1 ? TWO_BYTES[opcode] : this.map === 2 ? 'm' : 'mb';
    if (shape === undefined || shape === '?') return false;
    let rest = shape;
    if (rest.startsWith('m')) {
      rest = rest.slice(1);
      i = this.#modrm(code, i, limit, rex);
      if (i < 0) return false;
      if (this.map === 0 && (opcode === 0xf6 || opcode === 0xf7) && (this.reg & 7) < 2)
        rest = opcode === 0xf6 ? 'b' : 'z';
    } else if (this.map === 0 && HAS_REGISTER.has(opcode & 0xf8)) {
      this.reg = (opcode & 7) | ((rex & 1) << 3);
    }
    return this.#finish(code, i, limit, rest, is16);
  }

  #reset(at: number): void {
    this.at = at;
    this.map = this.opcode = this.reg = this.displacement = this.immediate = this.target = 0;
    this.isVector = this.isLocked = this.isRepeated = this.isWide = this.hasModrm = this.isRelative = false;
    this.rm = this.base = this.index = NONE;
    this.flow = 'next';
  }

  /** Returns where the instruction goes on; -1 beyond the end. */
  #modrm(code: DataView, start: number, limit: number, rex: number): number {
    let i = start;
    if (i >= limit) return -1;
    const modrm = code.getUint8(i++);
    const mod = modrm >>> 6;
    const low = modrm & 7;
    this.hasModrm = true;
    this.reg = ((modrm >>> 3) & 7) | ((rex & 4) << 1);
    if (mod === 3) {
      this.rm = low | ((rex & 1) << 3);
      return i;
    }
    let size = mod === 1 ? 1 : mod === 2 ? 4 : 0;
    if (low === 4) {
      if (i >= limit) return -1;
      const sib = code.getUint8(i++);
      const index = ((sib >>> 3) & 7) | ((rex & 2) << 2);
      this.index = index === RSP ? NONE : index;
      this.scale = 2 ** (sib >>> 6);
      this.base = (sib & 7) | ((rex & 1) << 3);
      if ((sib & 7) === 5 && mod === 0) {
        this.base = NONE;
        size = 4;
      }
    } else if (low === 5 && mod === 0) {
      this.isRelative = true;
      size = 4;
    } else {
      this.base = low | ((rex & 1) << 3);
    }
    if (i + size > limit) return -1;
    this.displacement = size === 0 ? 0 : size === 1 ? code.getInt8(i) : code.getInt32(i, true);
    return i + size;
  }

  /** Reads what follows the operands, and says where the instruction goes. */
  #finish(code: DataView, at: number, limit: number, rest: string, is16: boolean): boolean {
    const size = rest === 'v' ? (this.isWide ? 8 : is16 ? 2 : 4) : rest === 'z' && is16 ? 2 : (SIZES[rest] ?? 0);
    if (at + size > limit) return false;
    this.end = at + size;
    if (size === 1) this.immediate = code.getInt8(at);
    else if (size === 4) this.immediate = code.getInt32(at, true);
    else if (size === 8) this.immediate = Number(code.getBigInt64(at, true));
    this.target = this.end + this.immediate;
    this.flow = this.#flow();
    return !(is16 && (rest === 'R' || this.flow === 'call'));
  }

  #flow(): Flow {
    const { map, opcode, isVector } = this;
    if (isVector) return 'next';
    if (map === 1) return opcode >= 0x80 && opcode < 0x90 ? 'branch' : opcode === 0x0b ? 'trap' : 'next';
    if (map !== 0) return 'next';
    if ((opcode >= 0x70 && opcode < 0x80) || (opcode >= 0xe0 && opcode < 0xe4)) return 'branch';
    if (opcode === 0xe8) return 'call';
    if (opcode === 0xe9 || opcode === 0xeb) return 'jump';
    if (opcode === 0xc3 || opcode === 0xc2) return 'return';
    if (opcode === 0xcc || opcode === 0xf4) return 'trap';
    if (opcode !== 0xff) return 'next';
    const extension = this.reg & 7;
    return extension === 2 || extension === 3
      ? 'call-indirect'
      : extension === 4 || extension === 5
        ? 'jump-indirect'
        : 'next';
  }
}

const SEGMENTS: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]);
/** Opcodes whose low bits are a register: push, pop, xchg, and mov of an immediate. */
const HAS_REGISTER: ReadonlySet<number> = new Set([0x50, 0x58, 0x90, 0xb8]);
/** Bytes of what follows: an immediate of 1, 4 or 2 bytes, an address, or where a branch goes. */
const SIZES: Readonly<Record<string, number>> = { b: 1, z: 4, w: 2, o: 8, r: 1, R: 4 };

/** What follows each opcode: `m` for modrm, then one of {@link SIZES}, or `v` for an immediate as wide as the operand; `?` for no instruction. */
const ONE_BYTE: readonly string[] = table([
  ...[0, 8, 16, 24, 32, 40, 48, 56].flatMap((base): Row[] => [
    [base, base + 3, 'm'],
    [base + 4, base + 4, 'b'],
    [base + 5, base + 5, 'z'],
  ]),
  ...([
    [0x50, 0x5f, ''],
    [0x63, 0x63, 'm'],
    [0x68, 0x68, 'z'],
    [0x69, 0x69, 'mz'],
    [0x6a, 0x6a, 'b'],
  ] as Row[]),
  ...([
    [0x6b, 0x6b, 'mb'],
    [0x6c, 0x6f, ''],
    [0x70, 0x7f, 'r'],
    [0x80, 0x80, 'mb'],
    [0x81, 0x81, 'mz'],
  ] as Row[]),
  ...([
    [0x83, 0x83, 'mb'],
    [0x84, 0x8f, 'm'],
    [0x90, 0x99, ''],
    [0x9b, 0x9f, ''],
    [0xa0, 0xa3, 'o'],
  ] as Row[]),
  ...([
    [0xa4, 0xa7, ''],
    [0xa8, 0xa8, 'b'],
    [0xa9, 0xa9, 'z'],
    [0xaa, 0xaf, ''],
    [0xb0, 0xb7, 'b'],
  ] as Row[]),
  ...([
    [0xb8, 0xbf, 'v'],
    [0xc0, 0xc1, 'mb'],
    [0xc2, 0xc2, 'w'],
    [0xc3, 0xc3, ''],
    [0xc6, 0xc6, 'mb'],
  ] as Row[]),
  ...([
    [0xc7, 0xc7, 'mz'],
    [0xc9, 0xc9, ''],
    [0xcc, 0xcc, ''],
    [0xcd, 0xcd, 'b'],
    [0xd0, 0xd3, 'm'],
  ] as Row[]),
  ...([
    [0xd7, 0xd7, ''],
    [0xd8, 0xdf, 'm'],
    [0xe0, 0xe3, 'r'],
    [0xe4, 0xe7, 'b'],
    [0xe8, 0xe9, 'R'],
  ] as Row[]),
  ...([
    [0xeb, 0xeb, 'r'],
    [0xec, 0xef, ''],
    [0xf4, 0xf5, ''],
    [0xf6, 0xf7, 'm'],
    [0xf8, 0xfd, ''],
  ] as Row[]),
  [0xfe, 0xff, 'm'],
]);

/** The same for opcodes after 0F. */
const TWO_BYTES: readonly string[] = table([
  ...([
    [0x00, 0x03, 'm'],
    [0x05, 0x09, ''],
    [0x0b, 0x0b, ''],
    [0x0d, 0x0d, 'm'],
    [0x10, 0x2f, 'm'],
  ] as Row[]),
  ...([
    [0x30, 0x33, ''],
    [0x40, 0x6f, 'm'],
    [0x70, 0x73, 'mb'],
    [0x74, 0x76, 'm'],
    [0x77, 0x77, ''],
  ] as Row[]),
  ...([
    [0x78, 0x7f, 'm'],
    [0x80, 0x8f, 'R'],
    [0x90, 0x9f, 'm'],
    [0xa0, 0xa2, ''],
    [0xa3, 0xa3, 'm'],
  ] as Row[]),
  ...([
    [0xa4, 0xa4, 'mb'],
    [0xa5, 0xa5, 'm'],
    [0xa8, 0xa9, ''],
    [0xab, 0xab, 'm'],
    [0xac, 0xac, 'mb'],
  ] as Row[]),
  ...([
    [0xad, 0xb9, 'm'],
    [0xba, 0xba, 'mb'],
    [0xbb, 0xc1, 'm'],
    [0xc2, 0xc2, 'mb'],
    [0xc3, 0xc3, 'm'],
  ] as Row[]),
  ...([
    [0xc4, 0xc6, 'mb'],
    [0xc7, 0xc7, 'm'],
    [0xc8, 0xcf, ''],
    [0xd0, 0xff, 'm'],
  ] as Row[]),
]);

type Row = [from: number, to: number, shape: string];

function table(rows: readonly Row[]): string[] {
  const out = Array<string>(256).fill('?');
  for (const [from, to, shape] of rows) out.fill(shape, from, to + 1);
  return out;
}

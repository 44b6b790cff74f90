import type { Arch } from '../../snapshots/arch.js';
import type { Placement } from './placement.js';

/** The same stretch of code in a process and in a file. */
export interface CodePair {
  /** Where the process has it. */
  readonly pc: number;
  readonly process: DataView;
  readonly file: DataView;
  readonly placement: Placement;
}

/** An instruction and its neighbour are no longer. Differences this near to an end of a pair are not judged. */
export const REACH = 16;

/**
 * Where a difference that begins at offset `i` ends, if it is of no weight: an operand by which data is reached that
 * lies elsewhere, or a breakpoint in the process. Else `i`.
 */
export function endOfRelocated(arch: Arch, pair: CodePair, i: number): number {
  if (i < 4 || i + 4 > pair.process.byteLength) return i + 1;
  return arch === 'amd64' ? endOnAmd64(pair, i) : endOnArm64(pair, i);
}

const INT3 = 0xcc;

/** Four bytes behind a ModRM byte that says: relative to the instruction pointer. */
function endOnAmd64({ pc, process, file, placement }: CodePair, i: number): number {
  if (process.getUint8(i) === INT3) return i + 1;
  for (let at = i; at > i - 4; at--) {
    const modrm = process.getUint8(at - 1);
    if ((modrm & 0xc7) !== 0x05 || file.getUint8(at - 1) !== modrm) continue;
    const next = pc + at + 4;
    const there = next - placement.bias + file.getInt32(at, true);
    if (placement.isSameData(next + process.getInt32(at, true), there)) return at + 4;
  }
  return i;
}

/** An ADRP, which gives a page, or the instruction behind it, which adds the offset in that page. */
function endOnArm64(pair: CodePair, i: number): number {
  const at = i - ((pair.pc + i) % 4);
  const mine = pair.process.getUint32(at, true);
  const theirs = pair.file.getUint32(at, true);
  if (isBreakpoint(mine) || isSamePage(pair, at)) return at + 4;
  const page = pair.process.getUint32(at - 4, true) & 31;
  const addsOffset = isOffsetOf(page, mine) && withoutOffset(mine) === withoutOffset(theirs);
  return addsOffset && isSamePage(pair, at - 4) ? at + 4 : i;
}

/** True where both have an ADRP with the same target register, and data at the pages that they give. */
function isSamePage({ pc, process, file, placement }: CodePair, at: number): boolean {
  const mine = process.getUint32(at, true);
  const theirs = file.getUint32(at, true);
  if (!isAdrp(mine) || !isAdrp(theirs) || ((mine ^ theirs) & 31) !== 0) return false;
  const from = pc + at - ((pc + at) % 4096);
  return placement.isSameData(from + pagesOf(mine) * 4096, from - placement.bias + pagesOf(theirs) * 4096);
}

function isBreakpoint(word: number): boolean {
  return (word & 0xffe0001f) >>> 0 === 0xd4200000;
}

function isAdrp(word: number): boolean {
  return (word & 0x9f000000) >>> 0 === 0x90000000;
}

/** The signed 21 bits of an ADRP. */
function pagesOf(word: number): number {
  return ((((word >>> 5) & 0x7ffff) << 13) | (((word >>> 29) & 3) << 11)) >> 11;
}

/** True for ADD (immediate), and for loads and stores with an unsigned offset, whose base is the register. */
function isOffsetOf(register: number, word: number): boolean {
  const adds = (word & 0xff800000) >>> 0 === 0x91000000;
  const loads = (word & 0x3b000000) === 0x39000000;
  return (adds || loads) && ((word >>> 5) & 31) === register;
}

function withoutOffset(word: number): number {
  return word & ~0x003ffc00;
}

import type { Arch } from '../../snapshots/arch.js';
import type { Placement } from './placement.js';

/** The same piece of code in a process and in a file. */
export interface CodePair {
  /** Address of the code in the process. */
  readonly pc: number;
  readonly process: DataView;
  readonly file: DataView;
  readonly placement: Placement;
}

/** Pieces of code are compared with an overlap of this many bytes. No pair of instructions is longer. */
export const OVERLAP = 16;

/**
 * Judges the difference that starts at offset `i` of a pair. Returns the offset at which it ends if it is harmless: the
 * operand of an instruction that addresses moved data, or a breakpoint in the process. Returns `i` for any other
 * difference. A difference in the first or last four bytes cannot be judged and is skipped: because of {@link OVERLAP} it
 * also occurs in the middle of another pair, except at the ends of the known code.
 */
export function skipHarmlessDifference(arch: Arch, pair: CodePair, i: number): number {
  if (i < 4 || i + 4 > pair.process.byteLength) return i + 1;
  return arch === 'amd64' ? skipOnAmd64(pair, i) : skipOnArm64(pair, i);
}

const INT3 = 0xcc;

/**
 * Returns where a breakpoint of the process that covers offset `i` of its code ends, or `i` if there is none. Instructions
 * of arm64 are aligned to the start of `code`.
 */
export function breakpointEnd(arch: Arch, code: DataView, i: number): number {
  if (arch === 'amd64') return code.getUint8(i) === INT3 ? i + 1 : i;
  const at = i - (i % 4);
  return at + 4 <= code.byteLength && isBreakpoint(code.getUint32(at, true)) ? at + 4 : i;
}

/** Skips INT3, and the 32-bit displacement after a ModRM byte that means "relative to the instruction pointer". */
function skipOnAmd64({ pc, process, file, placement }: CodePair, i: number): number {
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

/** Skips BRK, ADRP (which loads the address of a page), and the instruction after ADRP that adds an offset in the page. */
function skipOnArm64(pair: CodePair, i: number): number {
  const at = i - ((pair.pc + i) % 4);
  const mine = pair.process.getUint32(at, true);
  const theirs = pair.file.getUint32(at, true);
  if (isBreakpoint(mine) || isSamePage(pair, at)) return at + 4;
  const pageRegister = pair.process.getUint32(at - 4, true) & 31;
  const addsOffset = usesOffsetFrom(pageRegister, mine) && withoutOffset(mine) === withoutOffset(theirs);
  return addsOffset && isSamePage(pair, at - 4) ? at + 4 : i;
}

/** Returns whether both have, at an offset, ADRP of the same register, with pages that may hold the same data. */
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

/** Returns the signed 21-bit operand of ADRP, in pages of 4096 bytes. */
function pagesOf(word: number): number {
  return ((((word >>> 5) & 0x7ffff) << 13) | (((word >>> 29) & 3) << 11)) >> 11;
}

/** Returns whether `word` is ADD (immediate), or a load or store with an unsigned offset, with `register` as its base. */
function usesOffsetFrom(register: number, word: number): boolean {
  const adds = (word & 0xff800000) >>> 0 === 0x91000000;
  const loads = (word & 0x3b000000) === 0x39000000;
  return (adds || loads) && ((word >>> 5) & 31) === register;
}

function withoutOffset(word: number): number {
  return word & ~0x003ffc00;
}

import { hex, type Addr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { MemoryFault, type Memory, type Range } from '../../snapshots/memory.js';
import type { Func } from '../binary/function-table.js';

/** Longest function to search, in bytes; schedinit, the longest of those asked for, has about 4 KB. */
const MAX_CODE = 64 * 1024;

/**
 * Returns the addresses inside `within` that the machine code of a function refers to, in the order of the instructions,
 * with repeats. Recognises position-independent data references by their shape, without decoding every instruction: what
 * only looks like one hardly ever points into a program's data. Throws MemoryFault where the code is absent.
 */
export function dataReferences(memory: Memory, arch: Arch, func: Func, within: readonly Range[]): Addr[] {
  const found =
    arch === 'amd64' ? amd64References(code(memory, func), func) : arm64References(code(memory, func), func);
  return found.filter((a) => within.some(({ lo, hi }) => a >= lo && a < hi)) as Addr[];
}

/** A direct call or jump. */
export interface CallSite {
  /** The address of the next instruction: where a call returns to. */
  readonly next: Addr;
  readonly target: Addr;
}

/** Returns the addresses that the code of `func` calls or jumps to directly, in order, with repeats. */
export function callTargets(memory: Memory, arch: Arch, func: Func): Addr[] {
  return callSites(memory, arch, func).map(({ target }) => target);
}

/** Returns the direct calls and jumps in the code of `func`, in order. Throws MemoryFault where the code is absent. */
export function callSites(memory: Memory, arch: Arch, func: Func): CallSite[] {
  const view = code(memory, func);
  const out: { next: number; target: number }[] = [];
  const add = (next: number, target: number): void => {
    if (Number.isSafeInteger(target) && target > 0) out.push({ next, target });
  };
  if (arch === 'amd64') {
    for (let i = 0; i + 5 <= view.byteLength; i++) {
      const op = view.getUint8(i);
      const next = func.entry + i + 5;
      if (op === CALL || op === JMP) add(next, next + view.getInt32(i + 1, true));
    }
  } else {
    for (let i = 0; i + 4 <= view.byteLength; i += 4) {
      const word = view.getUint32(i, true);
      const at = func.entry + i;
      if ((word & 0x7c000000) === 0x14000000) add(at + 4, at + signed(word & 0x3ffffff, 26) * 4);
    }
  }
  return out as CallSite[];
}

const CALL = 0xe8;
const JMP = 0xe9;

function code(memory: Memory, func: Func): DataView {
  const length = func.end - func.entry;
  if (length <= 0 || length > MAX_CODE) {
    throw new MemoryFault(func.entry, `${func.name} at ${hex(func.entry)} has ${length} bytes of code`);
  }
  const bytes = memory.bytes(func.entry, length);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes of the immediate operand after disp32, by opcode: mov, lea, add, cmp and others. */
const AMD64_OPS: ReadonlyMap<number, number> = new Map([
  [0x8b, 0],
  [0x89, 0],
  [0x8d, 0],
  [0x01, 0],
  [0x39, 0],
  [0x3b, 0],
  [0x63, 0],
  [0x83, 1],
  [0x80, 1],
  [0xc7, 4],
  [0x81, 4],
]);

/** `op modrm disp32 [imm]` with the RIP-relative form of modrm. */
function amd64References(view: DataView, func: Func): number[] {
  const out: number[] = [];
  for (let i = 0; i + 6 <= view.byteLength; i++) {
    const immediate = AMD64_OPS.get(view.getUint8(i));
    if (immediate === undefined || (view.getUint8(i + 1) & 0xc7) !== 0x05) continue;
    out.push(func.entry + i + 6 + immediate + view.getInt32(i + 2, true));
  }
  return out;
}

/** ADRP, then ADD, a load or a store with the same base register. LDP refers to two words. */
function arm64References(view: DataView, func: Func): number[] {
  const out: number[] = [];
  const pages = new Map<number, number>();
  for (let i = 0; i + 4 <= view.byteLength; i += 4) {
    const word = view.getUint32(i, true);
    const rd = word & 31;
    const rn = (word >>> 5) & 31;
    if ((word & 0x9f000000) >>> 0 === 0x90000000) {
      const immediate = signed((((word >>> 5) & 0x7ffff) << 2) | ((word >>> 29) & 3), 21);
      const pc = func.entry + i;
      pages.set(rd, pc - (pc % 4096) + immediate * 4096);
      continue;
    }
    const page = pages.get(rn);
    if (page === undefined) continue;
    if ((word & 0xff800000) >>> 0 === 0x91000000) {
      const target = page + ((word >>> 10) & 0xfff) * ((word & 0x400000) !== 0 ? 4096 : 1);
      out.push(target);
      pages.set(rd, target);
    } else if ((word & 0x3f000000) === 0x39000000) {
      out.push(page + ((word >>> 10) & 0xfff) * 2 ** (word >>> 30));
    } else if ((word & 0x3fc00000) === 0x29400000 && word >>> 31 === 1) {
      const first = page + signed((word >>> 15) & 0x7f, 7) * 8;
      out.push(first, first + 8);
    }
  }
  return out;
}

function signed(value: number, bits: number): number {
  return value >= 2 ** (bits - 1) ? value - 2 ** bits : value;
}

import t, { type Test } from 'tap';
import { compareCode } from '../../../analyze/match/code-difference.js';
import { Placement } from '../../../analyze/match/placement.js';
import { addr } from '../../../snapshots/address.js';
import type { Arch } from '../../../snapshots/arch.js';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import { Memory, SegmentSource } from '../../../snapshots/memory.js';
import { elfBytes } from '../../support/elf-bytes.js';

/** Link-time addresses of the code and of 1 MB of data, and how far the loader moved both. */
const TEXT = 0x401000;
const DATA = 0x500000;
const DATA_BYTES = 2 ** 20;
const BIAS = 0x7f0000000000;

/** Where the instruction under test is: NOPs before and after it keep it away from the ends of the code. */
const AT = 32;
const CODE_BYTES = 64;

const NOP: Record<Arch, readonly number[]> = { amd64: [0x90], arm64: [0x1f, 0x20, 0x03, 0xd5] };

/** NOPs with `instruction` in the middle. */
function code(arch: Arch, instruction: readonly number[]): Uint8Array {
  const bytes = Uint8Array.from({ length: CODE_BYTES }, (_, i) => NOP[arch][i % NOP[arch].length] ?? 0);
  bytes.set(instruction, AT);
  return bytes;
}

/** The 4 bytes of a little-endian word. */
function word(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}

/** Compares code in a process with code in a file, each loaded where the constants say. Returns the difference. */
function differenceBetween(arch: Arch, inProcess: readonly number[], inFile: readonly number[]): string | null {
  const segments = [
    { vaddr: TEXT, bytes: code(arch, inFile), memSize: CODE_BYTES, writable: false },
    { vaddr: DATA, bytes: new Uint8Array(0), memSize: DATA_BYTES, writable: true },
  ];
  const file = ElfFile.from('made up', elfBytes(arch, segments));
  const [lo, hi] = [addr(TEXT + BIAS), addr(TEXT + BIAS + CODE_BYTES)];
  const memory = new Memory(new SegmentSource([{ addr: lo, bytes: code(arch, inProcess) }]));
  const table = { module: { minpc: lo, maxpc: hi }, find: () => ({ name: 'main.f' }) };
  const { comparedBytes, difference } = compareCode(memory, arch, table, file, new Placement(file, BIAS, { lo, hi }));
  t.equal(comparedBytes, CODE_BYTES);
  return difference;
}

function accepts(t: Test, arch: Arch, inProcess: readonly number[], inFile: readonly number[], what: string): void {
  t.equal(differenceBetween(arch, inProcess, inFile), null, what);
}

function refuses(t: Test, arch: Arch, inProcess: readonly number[], inFile: readonly number[], what: string): void {
  t.equal(differenceBetween(arch, inProcess, inFile), 'the code of main.f is not the same', what);
}

/** LEA target(RIP), RAX at AT. The displacement does not depend on the bias, since code and data move together. */
function lea(target: number): number[] {
  return [0x48, 0x8d, 0x05, ...word(target - (TEXT + AT + 7))];
}

t.test('compare code: amd64, only operands that address data may differ', (t) => {
  const mov = (value: number): number[] => [0xb8, ...word(value)];
  const call = (target: number): number[] => [0xe8, ...word(target - (TEXT + AT + 5))];
  accepts(t, 'amd64', lea(DATA + 64), lea(DATA + 64), 'the same code');
  accepts(t, 'amd64', lea(DATA + 72), lea(DATA + 64), 'data that another build has 8 bytes further on');
  accepts(t, 'amd64', lea(DATA + 0x12345), lea(DATA + 0x54321), 'all four bytes of the operand differ');
  refuses(t, 'amd64', lea(TEXT + 8), lea(TEXT), 'an operand that addresses code');
  refuses(t, 'amd64', lea(DATA + 72), lea(TEXT), 'data in the process, code in the file');
  refuses(t, 'amd64', lea(DATA - 2 ** 24), lea(DATA + 64), 'an address outside of the program');
  refuses(t, 'amd64', mov(5), mov(6), 'a constant');
  refuses(t, 'amd64', call(DATA + 16), call(DATA + 32), 'a call is not a data reference');
  refuses(t, 'amd64', [0x48, 0x8b, ...lea(DATA).slice(2)], lea(DATA), 'MOV instead of LEA');
  refuses(t, 'amd64', [0x48, 0x8d, 0x0d, ...lea(DATA + 8).slice(3)], lea(DATA), 'another register');
  t.end();
});

t.test('compare code: amd64, a breakpoint in the process does not count, one in the file does', (t) => {
  accepts(t, 'amd64', [0xcc], [0x55], 'INT3 in the process');
  accepts(t, 'amd64', [0xcc, ...lea(DATA).slice(1)], lea(DATA), 'INT3 at the start of an instruction');
  refuses(t, 'amd64', [0x55], [0xcc], 'INT3 in the file');
  refuses(t, 'amd64', [0xcc, 0x53], [0x55, 0x54], 'a change after INT3');
  t.end();
});

const ADRP = 0x90000000;
const ADD = 0x91000000;
const LDR = 0xf9400000;

/** ADRP of `register` at AT + `offset`, for the page of a link-time address. */
function adrp(register: number, target: number, offset = 0): number[] {
  const from = TEXT + AT + offset;
  const pages = Math.floor(target / 4096) - Math.floor(from / 4096);
  return word((ADRP | ((pages & 3) << 29) | (((pages >> 2) & 0x7ffff) << 5) | register) >>> 0);
}

/** ADD or LDR with an unsigned immediate, from register `base` to register `to`. */
function withOffset(opcode: number, to: number, base: number, immediate: number): number[] {
  return word((opcode | (immediate << 10) | (base << 5) | to) >>> 0);
}

t.test('compare code: arm64, the page and the offset of data may differ, in a pair of instructions', (t) => {
  const pair = (target: number, opcode = ADD, base = 3): number[] => {
    return [...adrp(3, target), ...withOffset(opcode, 0, base, target % 4096)];
  };
  accepts(t, 'arm64', pair(DATA + 64), pair(DATA + 64), 'the same code');
  accepts(t, 'arm64', pair(DATA + 72), pair(DATA + 64), 'another offset in the page, by ADD');
  accepts(t, 'arm64', pair(DATA + 0x3040), pair(DATA + 0x40), 'another page');
  accepts(t, 'arm64', pair(DATA + 0x3048), pair(DATA + 0x40), 'another page and offset');
  accepts(t, 'arm64', pair(DATA + 72, LDR), pair(DATA + 64, LDR), 'another offset in the page, by LDR');
  refuses(t, 'arm64', pair(DATA + 72, ADD, 4), pair(DATA + 64, ADD, 4), 'an offset from another register');
  refuses(t, 'arm64', pair(DATA + 64, LDR), pair(DATA + 64), 'LDR instead of ADD');
  refuses(t, 'arm64', adrp(4, DATA), adrp(3, DATA), 'another register');
  refuses(t, 'arm64', adrp(3, DATA), adrp(3, TEXT), 'a page of data and a page of code');
  refuses(t, 'arm64', withOffset(ADD, 0, 31, 72), withOffset(ADD, 0, 31, 64), 'an offset without a page');
  t.end();
});

t.test('compare code: arm64, other instructions must be the same, except for breakpoints in the process', (t) => {
  const brk = word(0xd4200000);
  const branch = (words: number): number[] => word(0x94000000 + words);
  refuses(t, 'arm64', branch(5), branch(6), 'a branch');
  accepts(t, 'arm64', brk, branch(6), 'BRK in the process');
  refuses(t, 'arm64', branch(6), brk, 'BRK in the file');
  t.end();
});

t.test('compare code: code that the image lacks is skipped, code that the file lacks is a difference', (t) => {
  const bytes = code('amd64', []);
  const file = ElfFile.from(
    'made up',
    elfBytes('amd64', [{ vaddr: TEXT, bytes, memSize: CODE_BYTES, writable: false }]),
  );
  const [lo, hi] = [addr(TEXT), addr(TEXT + CODE_BYTES)];
  const placement = new Placement(file, 0, { lo, hi });
  const find = (): null => null;
  const compare = (source: SegmentSource, maxpc: number): unknown => {
    return compareCode(
      new Memory(source),
      'amd64',
      { module: { minpc: lo, maxpc: addr(maxpc) }, find },
      file,
      placement,
    );
  };
  const half = new SegmentSource([{ addr: lo, bytes: bytes.subarray(0, 32) }]);
  t.same(compare(half, hi), { comparedBytes: 32, difference: null });
  const twice = new SegmentSource([{ addr: lo, bytes: new Uint8Array(2 * CODE_BYTES).fill(0x90) }]);
  t.same(compare(twice, hi + CODE_BYTES), { comparedBytes: 0, difference: `it has no code at 0x${TEXT.toString(16)}` });
  const other = new SegmentSource([{ addr: lo, bytes: code('amd64', [0x55]) }]);
  const nameless = `the code of 0x${(TEXT + AT).toString(16)} is not the same`;
  t.same(compare(other, hi), { comparedBytes: CODE_BYTES, difference: nameless });
  t.end();
});

import { closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs';
import { fileError } from './file-errors.js';
import { isSnapshot } from './gsp/container.js';

/** What kind of file a file is, judged by its content. */
export type FileKind =
  | { readonly kind: 'snapshot' }
  /** `machine` is e_machine of the ELF header: 62 for amd64, 183 for arm64. */
  | { readonly kind: 'core'; readonly machine: number }
  | { readonly kind: 'elf'; readonly type: 'relocatable' | 'executable' | 'shared' | 'other'; readonly machine: number }
  | { readonly kind: 'compressed'; readonly format: 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4'; readonly tool: string }
  | { readonly kind: 'text' }
  | { readonly kind: 'empty' }
  | { readonly kind: 'folder' }
  | { readonly kind: 'device' }
  | { readonly kind: 'pipe' }
  | { readonly kind: 'unknown' };

/** Number of bytes at the start of a file that are enough to recognize it. */
export const HEAD_BYTES = 512;

/** Detects the kind of the file at `path`. Never waits for a pipe. Throws `badFile` if it is missing or unreadable. */
export function detectFile(path: string): FileKind {
  try {
    const special = specialKind(statSync(path));
    return special ?? kindOf(headOf(path));
  } catch (error) {
    throw fileError(`cannot open ${path}`, error);
  }
}

/** Detects the kind of a file from its first {@link HEAD_BYTES} bytes. */
export function kindOf(head: Uint8Array): FileKind {
  if (head.length === 0) return { kind: 'empty' };
  if (isSnapshot(head)) return { kind: 'snapshot' };
  if (startsWith(head, [0x7f, 0x45, 0x4c, 0x46])) return elfKind(head);
  for (const { magic, format, tool } of COMPRESSED) {
    if (startsWith(head, magic)) return { kind: 'compressed', format, tool };
  }
  return { kind: isText(head) ? 'text' : 'unknown' };
}

/** Describes a kind of file in a part of a sentence: `a gzip file; unpack it first, with gunzip`. */
export function describe(kind: FileKind): string {
  switch (kind.kind) {
    case 'snapshot':
      return 'a gospy snapshot';
    case 'core':
      return 'an ELF core';
    case 'elf':
      return kind.type === 'other' ? 'an ELF file' : `an ELF ${ELF_WORDS[kind.type]}`;
    case 'compressed':
      return `${article(kind.format)} ${kind.format} file; unpack it first, with ${kind.tool}`;
    case 'text':
      return 'a text file';
    case 'empty':
      return 'an empty file';
    case 'folder':
      return 'a folder';
    case 'device':
      return 'a device';
    case 'pipe':
      return 'a pipe or a socket';
    case 'unknown':
      return 'a file of an unknown kind';
  }
}

/** Returns the article for a format: `an xz`, `an lz4`, since the letters x and l are spelled out. */
function article(format: string): string {
  return /^[xl]/.test(format) ? 'an' : 'a';
}

const ELF_WORDS = { relocatable: 'object file', executable: 'executable', shared: 'executable or shared library' };

const COMPRESSED = [
  { magic: [0x1f, 0x8b], format: 'gzip', tool: 'gunzip' },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], format: 'zstd', tool: 'unzstd' },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], format: 'xz', tool: 'unxz' },
  { magic: [0x42, 0x5a, 0x68], format: 'bzip2', tool: 'bunzip2' },
  { magic: [0x04, 0x22, 0x4d, 0x18], format: 'lz4', tool: 'unlz4' },
] as const;

function specialKind(stat: Stats): FileKind | null {
  if (stat.isFile()) return null;
  if (stat.isDirectory()) return { kind: 'folder' };
  return { kind: stat.isFIFO() || stat.isSocket() ? 'pipe' : 'device' };
}

function headOf(path: string): Uint8Array {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const head = new Uint8Array(Math.min(HEAD_BYTES, fstatSync(fd).size));
    return head.subarray(0, readSync(fd, head, 0, head.length, 0));
  } finally {
    closeSync(fd);
  }
}

function elfKind(head: Uint8Array): FileKind {
  if (head.length < 20) return { kind: 'unknown' };
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const littleEndian = head[5] !== 2;
  const type = view.getUint16(16, littleEndian);
  const machine = view.getUint16(18, littleEndian);
  if (type === 4) return { kind: 'core', machine };
  return { kind: 'elf', type: (['other', 'relocatable', 'executable', 'shared'] as const)[type] ?? 'other', machine };
}

function startsWith(head: Uint8Array, magic: readonly number[]): boolean {
  return head.length >= magic.length && magic.every((b, i) => head[i] === b);
}

/** Returns whether there are only bytes that occur in text: no control characters but white space, bell and escape. */
function isText(head: Uint8Array): boolean {
  return head.every((b) => b >= 0x20 || (b >= 0x07 && b <= 0x0d) || b === 0x1b) && !head.includes(0x7f);
}

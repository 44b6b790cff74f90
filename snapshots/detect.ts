import { closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs';
import { fileError } from './file-errors.js';
import { isSnapshot } from './gsp/container.js';

/** What kind of file a file is, judged by its content. */
export type FileKind =
  | { readonly kind: 'snapshot' }
  /** `machine` is e_machine of the ELF header: 62 for amd64, 183 for arm64. */
  | { readonly kind: 'core'; readonly machine: number }
  | { readonly kind: 'elf'; readonly type: 'relocatable' | 'executable' | 'shared' | 'other'; readonly machine: number }
  /** `tool` is the command that unpacks it. */
  | { readonly kind: 'compressed'; readonly format: string; readonly tool: string }
  | { readonly kind: 'archive'; readonly format: string; readonly tool: string }
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
  const packed = afterSkippable(head);
  for (const { magic, format, tool } of COMPRESSED) {
    if (startsWith(packed, magic)) return { kind: 'compressed', format, tool };
  }
  // Unless it is known what follows a skippable frame, it is zstd: what writes one of lz4 is rare.
  if (packed !== head) return { kind: 'compressed', format: 'zstd', tool: 'unzstd' };
  for (const { at, magic, format, tool } of ARCHIVES) {
    if (startsWith(head.subarray(at), magic)) return { kind: 'archive', format, tool };
  }
  return { kind: isText(head) ? 'text' : 'unknown' };
}

/** Describes a kind of file in a part of a sentence: `a gzip file`. */
export function describe(kind: FileKind): string {
  switch (kind.kind) {
    case 'snapshot':
      return 'a gospy snapshot';
    case 'core':
      return 'an ELF core';
    case 'elf':
      return kind.type === 'other' ? 'an ELF file' : `an ELF ${ELF_WORDS[kind.type]}`;
    case 'compressed':
      return `${article(kind.format)} ${kind.format} file`;
    case 'archive':
      return `${article(kind.format)} ${kind.format} archive`;
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

/** What to do with a file that has to be unpacked, as a sentence; null for others. */
export function unpackingAdvice(kind: FileKind): string | null {
  if (kind.kind === 'compressed') return `unpack it first, with ${kind.tool}`;
  return kind.kind === 'archive' ? `take the file out of it first, with ${kind.tool}` : null;
}

/** Returns the article for a format: `an xz`, `an lz4`, since the letters x and l are spelled out; but `a lzip`. */
function article(format: string): string {
  return /^(xz|lz4|lzma|ar$)/.test(format) ? 'an' : 'a';
}

const ELF_WORDS = { relocatable: 'object file', executable: 'executable', shared: 'executable or shared library' };

interface Magic {
  readonly magic: readonly number[];
  readonly format: string;
  readonly tool: string;
}

/** Formats of one compressed file. Those of zstd before 0.8 differ from release to release (its lib/legacy). */
const COMPRESSED: readonly Magic[] = [
  { magic: [0x1f, 0x8b], format: 'gzip', tool: 'gunzip' },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], format: 'zstd', tool: 'unzstd' },
  ...[0x1e, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27].map((first) => ({
    ...{ magic: [first, 0xb5, 0x2f, 0xfd], format: 'zstd (before 0.8)', tool: 'the unzstd of that time' },
  })),
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], format: 'xz', tool: 'unxz' },
  { magic: [0x42, 0x5a, 0x68], format: 'bzip2', tool: 'bunzip2' },
  { magic: [0x04, 0x22, 0x4d, 0x18], format: 'lz4', tool: 'unlz4' },
  { magic: [0x02, 0x21, 0x4c, 0x18], format: 'lz4', tool: 'unlz4' },
  { magic: [0x1f, 0x9d], format: 'compress (.Z)', tool: 'uncompress' },
  { magic: [0x4c, 0x5a, 0x49, 0x50], format: 'lzip', tool: 'lzip -d' },
  { magic: [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a], format: 'lzop', tool: 'lzop -d' },
  { magic: [0x5d, 0x00, 0x00, 0x80, 0x00, 0xff, 0xff, 0xff, 0xff], format: 'lzma', tool: 'unlzma' },
  { magic: [0xff, 0x06, 0x00, 0x00, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59], format: 'snappy', tool: 'snzip -d' },
];

/** Formats of several files in one. `at` is where the magic bytes are. */
const ARCHIVES: readonly (Magic & { readonly at: number })[] = [
  { at: 257, magic: [...Buffer.from('ustar')], format: 'tar', tool: 'tar -xf' },
  { at: 0, magic: [0x50, 0x4b, 0x03, 0x04], format: 'zip', tool: 'unzip' },
  { at: 0, magic: [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], format: '7z', tool: '7z x' },
  { at: 0, magic: [...Buffer.from('Rar!')], format: 'rar', tool: 'unrar x' },
  { at: 0, magic: [...Buffer.from('070701')], format: 'cpio', tool: 'cpio -id' },
  { at: 0, magic: [...Buffer.from('!<arch>\n')], format: 'ar', tool: 'ar x' },
];

/** Skips the skippable frames at the start, which zstd and lz4 have in common: as far as `head` shows them. */
function afterSkippable(head: Uint8Array): Uint8Array {
  let rest = head;
  while (rest.length >= 8 && startsWith(rest.subarray(1), [0x2a, 0x4d, 0x18]) && (rest[0] ?? 0) >> 4 === 5) {
    rest = rest.subarray(8 + new DataView(rest.buffer, rest.byteOffset).getUint32(4, true));
  }
  return rest;
}

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

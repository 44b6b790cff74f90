import { Bytes, BytesError } from '../bytes.js';
import { describe, HEAD_BYTES, kindOf, unpackingAdvice } from '../detect.js';
import { badFile, unsupported } from '../errors.js';
import type { Arch } from '../arch.js';
import type { FileBytes } from '../regular-file.js';

/** The fields of the file header that gospy uses. */
export interface ElfHeader {
  readonly arch: Arch;
  readonly type: 'relocatable' | 'executable' | 'shared' | 'core' | 'other';
  /** Link-time address of the first instruction; 0 if there is none. */
  readonly entry: number;
}

/** A program header. Addresses are link-time addresses; sizes and offsets are in bytes. */
export interface ElfSegment {
  readonly type: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  readonly fileOffset: number;
  readonly vaddr: number;
  readonly fileSize: number;
  readonly memSize: number;
  readonly align: number;
}

/** A section header. */
export interface ElfSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Link-time address; 0 for a section that is not loaded. */
  readonly vaddr: number;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  /** Index of the section that this one refers to: for a symbol table, the section with its strings. */
  readonly link: number;
  readonly align: number;
}

/** The first four bytes of an ELF file, as a little-endian word. */
export const ELF_MAGIC = 0x464c457f;
/** p_type. */
export const SegmentType = { load: 1, note: 4 } as const;
/** sh_type. */
export const SectionType = { symbols: 2, noBits: 8, note: 7, dynamicSymbols: 11 } as const;
/** e_machine: EM_X86_64 and EM_AARCH64 (<linux/elf-em.h>). */
export const ELF_MACHINES: Readonly<Record<Arch, number>> = { amd64: 62, arm64: 183 };

/** Sizes of the file header, a program header and a section header of a 64-bit ELF file, in bytes. */
export const HEADER_BYTES = 64;
export const SEGMENT_BYTES = 56;
const SECTION_BYTES = 64;
/** Largest accepted number of headers: a process usually has a few thousand mappings, and may have a million. */
const MOST_HEADERS = 2 ** 21;
const TYPES = ['other', 'relocatable', 'executable', 'shared', 'core'] as const;
const OTHER_CPUS: Readonly<Record<number, string>> = {
  3: '386',
  8: 'mips',
  20: 'ppc',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  243: 'riscv64',
  258: 'loong64',
};

/** A table of headers in the file. */
interface HeaderTable {
  readonly offset: number;
  readonly count: number;
}

export interface ParsedHeader {
  readonly header: ElfHeader;
  readonly segments: HeaderTable;
  readonly sections: HeaderTable;
  /** Index of the section with the names of the sections. */
  readonly namesIndex: number;
}

/**
 * Parses the file header. Throws `badFile` if the file is not an ELF file or is shorter than its header, `unsupported` if
 * it is 32-bit, big-endian, or for a CPU other than amd64 and arm64, and {@link BytesError} if a field cannot be.
 */
export function parseHeader(file: FileBytes): ParsedHeader {
  const head = file.read(0, Math.min(HEAD_BYTES, file.sizeBytes));
  const at = new Bytes(head);
  if (head.length < 4 || at.u32() !== ELF_MAGIC) {
    const kind = kindOf(head);
    const hint = unpackingAdvice(kind);
    throw badFile(`${file.path} is not an ELF file: it is ${describe(kind)}`, hint === null ? {} : { hint });
  }
  if (head.length < HEADER_BYTES) throw badFile(`${file.path} is truncated: an ELF header has ${HEADER_BYTES} bytes`);
  const wordClass = at.u8();
  if (wordClass === 1) throw unsupported(`${file.path} is an ELF file of 32 bits; gospy reads 64-bit programs`);
  if (at.u8() === 2) throw unsupported(`${file.path} is a big-endian ELF file; gospy reads little-endian programs`);
  if (wordClass !== 2) throw new BytesError(`class ${wordClass} does not exist`);
  at.at = 16;
  const type = TYPES[at.u16()] ?? 'other';
  const machine = at.u16();
  const arch = (['amd64', 'arm64'] as const).find((name) => ELF_MACHINES[name] === machine);
  if (arch === undefined) {
    const cpu = OTHER_CPUS[machine] ?? `number ${machine}`;
    throw unsupported(`${file.path} is for the CPU ${cpu}; gospy reads amd64 and arm64`);
  }
  at.at = 24;
  const entry = at.word();
  const segmentsOffset = at.word();
  const sectionsOffset = Number(at.u64());
  at.at = 54;
  const [segmentSize, segmentCount, sectionSize, sectionCount, namesIndex] = [
    at.u16(),
    at.u16(),
    at.u16(),
    at.u16(),
    at.u16(),
  ];
  if (segmentCount > 0 && segmentSize !== SEGMENT_BYTES)
    throw new BytesError(`program headers of ${segmentSize} bytes`);
  const first = firstSection(file, sectionsOffset, sectionSize);
  return {
    header: { arch, type, entry },
    // Counts that do not fit into 16 bits are stored in the first section header.
    segments: { offset: segmentsOffset, count: segmentCount === 0xffff ? (first?.info ?? segmentCount) : segmentCount },
    sections: { offset: sectionsOffset, count: sectionCount === 0 ? (first?.size ?? 0) : sectionCount },
    namesIndex: namesIndex === 0xffff ? (first?.link ?? 0) : namesIndex,
  };
}

function firstSection(
  file: FileBytes,
  offset: number,
  size: number,
): { info: number; size: number; link: number } | null {
  if (offset === 0 || size !== SECTION_BYTES || offset + SECTION_BYTES > file.sizeBytes) return null;
  const at = new Bytes(file.read(offset, SECTION_BYTES), 32);
  const sizeField = at.u64();
  const [link, info] = [at.u32(), at.u32()];
  return { size: sizeField <= 2n ** 32n ? Number(sizeField) : 0, link, info };
}

/**
 * Parses the program headers. `fileEnd` is the offset at which the last segment's content ends, be it in the file or not.
 * Throws {@link BytesError} if the table is not in the file.
 */
export function parseSegments(
  file: FileBytes,
  { offset, count }: HeaderTable,
): { segments: ElfSegment[]; fileEnd: number } {
  if (count > MOST_HEADERS || offset + count * SEGMENT_BYTES > file.sizeBytes) {
    throw new BytesError(`${count} program headers at ${offset} do not fit into ${file.sizeBytes} bytes`);
  }
  const segments: ElfSegment[] = [];
  let fileEnd = 0;
  const at = new Bytes(file.read(offset, count * SEGMENT_BYTES));
  for (let i = 0; i < count; i++) {
    at.at = i * SEGMENT_BYTES;
    const [type, flags] = [at.u32(), at.u32()];
    const [fileOffset, vaddr] = [at.u64(), at.u64()];
    at.at += 8;
    const [fileSize, memSize, align] = [at.u64(), at.u64(), at.u64()];
    if (IN_FILE.has(type) && fileOffset + fileSize <= MAX) fileEnd = Math.max(fileEnd, Number(fileOffset + fileSize));
    // Cores contain the kernel's vsyscall page, which lies above all addresses of the program.
    if ([fileOffset + fileSize, vaddr + memSize, vaddr + fileSize, align].some((n) => n > MAX)) continue;
    segments.push({
      type,
      readable: flags % 8 >= 4,
      writable: flags % 4 >= 2,
      executable: flags % 2 === 1,
      fileOffset: Number(fileOffset),
      vaddr: Number(vaddr),
      fileSize: Number(fileSize),
      memSize: Number(memSize),
      align: Number(align),
    });
  }
  return { segments, fileEnd };
}

const MAX = BigInt(Number.MAX_SAFE_INTEGER);
/** Types of segments whose content is in the file, unless the file was cut short. */
const IN_FILE: ReadonlySet<number> = new Set([SegmentType.load, SegmentType.note]);

/** Parses the section headers. Throws {@link BytesError} if the table is not in the file or a number is out of range. */
export function parseSections(file: FileBytes, { offset, count }: HeaderTable, namesIndex: number): ElfSection[] {
  if (count === 0 || offset === 0) return [];
  if (count > MOST_HEADERS || offset + count * SECTION_BYTES > file.sizeBytes) {
    throw new BytesError(`${count} section headers at ${offset} do not fit into ${file.sizeBytes} bytes`);
  }
  const at = new Bytes(file.read(offset, count * SECTION_BYTES));
  const nameOffsets: number[] = [];
  const nameless: Omit<ElfSection, 'name'>[] = [];
  for (let i = 0; i < count; i++) {
    at.at = i * SECTION_BYTES;
    nameOffsets.push(at.u32());
    const type = at.u32();
    const [flags, vaddr, fileOffset, sizeBytes] = [at.word(), at.word(), at.word(), at.word()];
    const link = at.u32();
    at.at += 4;
    nameless.push({ type, flags, vaddr, fileOffset, sizeBytes, link, align: at.word() });
  }
  const names = namesOf(file, nameless[namesIndex]);
  return nameless.map((section, i) => ({ name: nameAt(names, nameOffsets[i] ?? 0), ...section }));
}

function namesOf(file: FileBytes, section: Omit<ElfSection, 'name'> | undefined): Uint8Array {
  const { fileOffset, sizeBytes } = section ?? { fileOffset: 0, sizeBytes: 0 };
  if (fileOffset + sizeBytes > file.sizeBytes) throw new BytesError('the names of the sections are not in the file');
  return file.read(fileOffset, sizeBytes);
}

function nameAt(names: Uint8Array, offset: number): string {
  const end = names.indexOf(0, offset);
  return end < 0 ? '' : Buffer.from(names.subarray(offset, end)).toString('utf8');
}

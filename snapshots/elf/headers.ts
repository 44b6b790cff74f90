import { Bytes, BytesError } from '../bytes.js';
import { describe, kindOf } from '../detect.js';
import { badFile, unsupported } from '../errors.js';
import type { Arch } from '../image.js';
import type { FileBytes } from '../regular-file.js';

/** The file header, as far as it is of use here. */
export interface ElfHeader {
  readonly arch: Arch;
  readonly type: 'relocatable' | 'executable' | 'shared' | 'core' | 'other';
  /** Link-time address of the first instruction, 0 for none. */
  readonly entry: number;
}

/** A program header. Addresses are those of link time; sizes and offsets are in bytes. */
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
  /** Link-time address, 0 for a section that is not loaded. */
  readonly vaddr: number;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  /** Index of the section that this one refers to: the strings of a symbol table. */
  readonly link: number;
  readonly align: number;
}

/** p_type. */
export const SegmentType = { load: 1, note: 4 } as const;
/** sh_type. */
export const SectionType = { symbols: 2, noBits: 8, note: 7, dynamicSymbols: 11 } as const;
/** sh_flags: what the section holds is compressed. */
export const COMPRESSED_FLAG = 0x800;

const HEADER_SIZE = 64;
const SEGMENT_SIZE = 56;
const SECTION_SIZE = 64;
/** Program or section headers of one file: a process has a few thousand mappings, and may be allowed a million. */
const MOST_HEADERS = 2 ** 21;
const TYPES = ['other', 'relocatable', 'executable', 'shared', 'core'] as const;
const ARCHES: Readonly<Record<number, Arch>> = { 62: 'amd64', 183: 'arm64' };
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

/** A table in the file. */
interface Table {
  readonly offset: number;
  readonly count: number;
}

export interface ParsedHeader {
  readonly header: ElfHeader;
  readonly segments: Table;
  readonly sections: Table;
  /** Index of the section that holds the sections' names. */
  readonly namesIndex: number;
}

/**
 * Reads the file header. Throws `badFile` where the file is no ELF file or shorter than its header, and `unsupported`
 * where it is of 32 bits, big-endian, or for another CPU than amd64 and arm64.
 */
export function parseHeader(file: FileBytes): ParsedHeader {
  const head = file.read(0, Math.min(512, file.sizeBytes));
  const at = new Bytes(head);
  if (head.length < 4 || at.u32() !== 0x464c457f) {
    throw badFile(`${file.path} is no ELF file: it is ${describe(kindOf(head))}`);
  }
  if (head.length < HEADER_SIZE) throw badFile(`${file.path} is truncated: an ELF header has ${HEADER_SIZE} bytes`);
  const wordClass = at.u8();
  if (wordClass === 1) throw unsupported(`${file.path} is an ELF file of 32 bits; gospy reads 64-bit programs`);
  if (at.u8() === 2) throw unsupported(`${file.path} is a big-endian ELF file; gospy reads little-endian programs`);
  if (wordClass !== 2) throw new BytesError(`class ${wordClass} is none`);
  at.at = 16;
  const type = TYPES[at.u16()] ?? 'other';
  const machine = at.u16();
  const arch = ARCHES[machine];
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
  if (segmentCount > 0 && segmentSize !== SEGMENT_SIZE) throw new BytesError(`program headers of ${segmentSize} bytes`);
  const first = firstSection(file, sectionsOffset, sectionSize);
  return {
    header: { arch, type, entry },
    // Counts that do not fit into 16 bits are in the first section header.
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
  if (offset === 0 || size !== SECTION_SIZE || offset + SECTION_SIZE > file.sizeBytes) return null;
  const at = new Bytes(file.read(offset, SECTION_SIZE), 32);
  const sizeField = at.u64();
  const [link, info] = [at.u32(), at.u32()];
  return { size: sizeField <= 2n ** 32n ? Number(sizeField) : 0, link, info };
}

/**
 * The program headers, and where in the file the last of what they describe ends. Throws {@link BytesError} where the
 * table is not in the file.
 */
export function parseSegments(file: FileBytes, { offset, count }: Table): { segments: ElfSegment[]; fileEnd: number } {
  if (count > MOST_HEADERS || offset + count * SEGMENT_SIZE > file.sizeBytes) {
    throw new BytesError(`${count} program headers at ${offset} do not fit into ${file.sizeBytes} bytes`);
  }
  const segments: ElfSegment[] = [];
  let fileEnd = 0;
  const at = new Bytes(file.read(offset, count * SEGMENT_SIZE));
  for (let i = 0; i < count; i++) {
    at.at = i * SEGMENT_SIZE;
    const [type, flags] = [at.u32(), at.u32()];
    const [fileOffset, vaddr] = [at.u64(), at.u64()];
    at.at += 8;
    const [fileSize, memSize, align] = [at.u64(), at.u64(), at.u64()];
    if (IN_FILE.has(type) && fileOffset + fileSize <= MAX) fileEnd = Math.max(fileEnd, Number(fileOffset + fileSize));
    // The kernel's vsyscall page, which a core has too, lies above all addresses of the program.
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
/** Segments whose content a whole file has. */
const IN_FILE: ReadonlySet<number> = new Set([SegmentType.load, SegmentType.note]);

/** Throws {@link BytesError} where the table is not in the file, or a section has numbers that cannot be. */
export function parseSections(file: FileBytes, { offset, count }: Table, namesIndex: number): ElfSection[] {
  if (count === 0 || offset === 0) return [];
  if (count > MOST_HEADERS || offset + count * SECTION_SIZE > file.sizeBytes) {
    throw new BytesError(`${count} section headers at ${offset} do not fit into ${file.sizeBytes} bytes`);
  }
  const at = new Bytes(file.read(offset, count * SECTION_SIZE));
  const nameOffsets: number[] = [];
  const nameless: Omit<ElfSection, 'name'>[] = [];
  for (let i = 0; i < count; i++) {
    at.at = i * SECTION_SIZE;
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

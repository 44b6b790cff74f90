import { inflateSync } from 'node:zlib';
import { Bytes, BytesError } from '../bytes.js';
import { badFile } from '../errors.js';
import { firstWins, type Piece } from '../overlaps.js';
import { HeldBytes, RegularFile, type FileBytes } from '../regular-file.js';
import { CachedBytes } from './cached-bytes.js';
import {
  COMPRESSED_FLAG,
  parseHeader,
  parseSections,
  parseSegments,
  SectionType,
  SegmentType,
  type ElfHeader,
  type ElfSection,
  type ElfSegment,
} from './headers.js';
import { NOTE_GNU_BUILD_ID, NOTE_GO_BUILD_ID, notesAt, type ElfNote, type NotePlace } from './notes.js';
import { symbolsIn, type ElfSymbol } from './symbols.js';

/** Bytes that a section may have, uncompressed. */
const LARGEST_SECTION = 2 ** 30;

/** A run of addresses whose bytes are in the file: [lo, hi) lies at `fileOffset`. Addresses are those of link time. */
export interface LoadedRange {
  readonly lo: number;
  readonly hi: number;
  readonly fileOffset: number;
  readonly segment: ElfSegment;
}

/**
 * A 64-bit little-endian ELF file of amd64 or arm64: executable, library or core, of any size. It is read where it is
 * asked for something and never as a whole. What is broken beside the program headers is left out and told in
 * `problems`: a program runs without its sections, and so is it read.
 */
export class ElfFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly header: ElfHeader;
  readonly segments: readonly ElfSegment[];
  /** Empty where the file has none or they are broken. */
  readonly sections: readonly ElfSection[];
  /** What could not be read, one sentence each. */
  readonly problems: readonly string[];
  /** What PT_LOAD segments have in the file, ascending, never overlapping. */
  readonly loaded: readonly LoadedRange[];
  /** Bytes that segments have behind the end of the file; above 0 for a file that was cut short. */
  readonly missingBytes: number;
  readonly #file: FileBytes;

  private constructor(file: FileBytes) {
    this.#file = new CachedBytes(file);
    this.path = file.path;
    this.sizeBytes = file.sizeBytes;
    const problems: string[] = [];
    try {
      const { header, segments, sections, namesIndex } = parseHeader(this.#file);
      this.header = header;
      const parsed = parseSegments(this.#file, segments);
      this.segments = parsed.segments;
      this.missingBytes = Math.max(0, parsed.fileEnd - this.sizeBytes);
      this.sections = tolerated(problems, 'the section headers', () => parseSections(this.#file, sections, namesIndex));
    } catch (error) {
      if (!(error instanceof BytesError)) throw error;
      throw badFile(`${file.path} is damaged or truncated in its ELF headers: ${error.message}`, { cause: error });
    }
    this.problems = problems;
    const loads = this.segments.filter(({ type }) => type === SegmentType.load);
    this.loaded = loadedRanges(loads, this.sizeBytes);
  }

  /**
   * Opens a file by its path, or by a descriptor, which is closed with it. Throws `badFile` where it is missing, no ELF
   * file or broken, `unsupported` where it is of another CPU, 32 bits or big-endian.
   */
  static open(path: string, fd?: number): ElfFile {
    const file = new RegularFile(path, fd);
    try {
      return new ElfFile(file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The same for bytes in memory, which `path` names in messages. */
  static from(path: string, bytes: Uint8Array): ElfFile {
    return new ElfFile(new HeldBytes(path, bytes));
  }

  /** The same for bytes that are had from somewhere else, and closed with it. */
  static over(bytes: FileBytes): ElfFile {
    return new ElfFile(bytes);
  }

  close(): void {
    this.#file.close();
  }

  /** The first section of that name. */
  section(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** What a section holds, uncompressed; empty for .bss. Throws {@link BytesError} where it is broken or too large. */
  contents(section: ElfSection): Uint8Array {
    if (section.type === SectionType.noBits) return new Uint8Array(0);
    if (section.sizeBytes > LARGEST_SECTION) throw new BytesError(`section ${section.name} is too large`);
    const stored = this.#file.read(section.fileOffset, section.sizeBytes);
    const isCompressed = section.flags % (2 * COMPRESSED_FLAG) >= COMPRESSED_FLAG;
    return isCompressed ? uncompressed(section.name, stored) : stored;
  }

  /** Bytes at an offset of the file. Throws {@link BytesError} where they are not there. */
  bytesInFile(fileOffset: number, length: number): Uint8Array {
    return this.#file.read(fileOffset, length);
  }

  /** A range of {@link loaded} that holds the link-time address, or undefined. */
  rangeAt(vaddr: number): LoadedRange | undefined {
    let lo = 0;
    let hi = this.loaded.length;
    while (lo < hi) {
      const mid = (lo + hi) >>> 1;
      if ((this.loaded[mid]?.lo ?? Infinity) <= vaddr) lo = mid + 1;
      else hi = mid;
    }
    const range = this.loaded[lo - 1];
    return range !== undefined && vaddr < range.hi ? range : undefined;
  }

  /** The bytes at a link-time address, or null where one of them is not in the file (.bss, a hole, cut off). */
  bytesAt(vaddr: number, length: number): Uint8Array | null {
    const parts: Uint8Array[] = [];
    for (let at = vaddr; at < vaddr + length;) {
      const range = this.rangeAt(at);
      if (range === undefined) return null;
      const end = Math.min(range.hi, vaddr + length);
      parts.push(this.#file.read(range.fileOffset + (at - range.lo), end - at));
      at = end;
    }
    return parts.length === 1 ? (parts[0] ?? null) : Buffer.concat(parts);
  }

  /**
   * All notes, of the PT_NOTE segments and of the note sections outside them. Broken ones are left out: what follows
   * them at the same place cannot be found.
   */
  *notes(): Generator<ElfNote> {
    for (const place of this.#notePlaces()) {
      try {
        yield* notesAt(this.#file, place);
      } catch (error) {
        if (!(error instanceof BytesError)) throw error;
      }
    }
  }

  /** NT_GNU_BUILD_ID in hex, or null. */
  get buildId(): string | null {
    const content = this.#note('GNU', NOTE_GNU_BUILD_ID);
    return content === null || content.length === 0 ? null : Buffer.from(content).toString('hex');
  }

  /** Go's own build id, or null. */
  get goBuildId(): string | null {
    const content = this.#note('Go', NOTE_GO_BUILD_ID);
    return content === null || content.length === 0 ? null : Buffer.from(content).toString('utf8');
  }

  /** Symbols of .symtab, or of .dynsym where the first was stripped. Throws {@link BytesError} where they are broken. */
  *symbols(): Generator<ElfSymbol> {
    const table =
      this.sections.find(({ type }) => type === SectionType.symbols) ??
      this.sections.find(({ type }) => type === SectionType.dynamicSymbols);
    const strings = table === undefined ? undefined : this.sections[table.link];
    if (table !== undefined && strings !== undefined) yield* symbolsIn(this.#file, table, strings);
  }

  /** The first defined symbol of that name. Looks through all of them. */
  symbol(name: string): ElfSymbol | undefined {
    for (const symbol of this.symbols()) if (symbol.defined && symbol.name === name) return symbol;
    return undefined;
  }

  #notePlaces(): NotePlace[] {
    const places: NotePlace[] = this.segments
      .filter(({ type }) => type === SegmentType.note)
      .map(({ fileOffset, fileSize, align }) => ({ fileOffset, sizeBytes: fileSize, align }));
    // Go's linker makes a segment of its own build id's note alone, and leaves the GNU one to its section.
    for (const section of this.sections.filter(({ type }) => type === SectionType.note)) {
      const { fileOffset, sizeBytes } = section;
      const isIn = (p: NotePlace): boolean =>
        fileOffset >= p.fileOffset && fileOffset + sizeBytes <= p.fileOffset + p.sizeBytes;
      if (!places.some(isIn)) places.push(section);
    }
    return places;
  }

  #note(owner: string, type: number): Uint8Array | null {
    for (const note of this.notes()) if (note.owner === owner && note.type === type) return note.content;
    return null;
  }
}

function tolerated<T>(problems: string[], what: string, read: () => T[]): T[] {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
    problems.push(`${what} cannot be read: ${error.message}`);
    return [];
  }
}

function loadedRanges(loads: readonly ElfSegment[], sizeBytes: number): LoadedRange[] {
  const inFile = loads.map(({ vaddr, fileOffset, fileSize, memSize }) => {
    return { lo: vaddr, hi: vaddr + Math.max(0, Math.min(fileSize, memSize, sizeBytes - fileOffset)) };
  });
  return firstWins(inFile).flatMap(({ lo, hi, owner }: Piece) => {
    const segment = loads[owner];
    return segment === undefined ? [] : [{ lo, hi, fileOffset: segment.fileOffset + (lo - segment.vaddr), segment }];
  });
}

/** Elf64_Chdr, then a zlib stream. */
function uncompressed(name: string, stored: Uint8Array): Uint8Array {
  const at = new Bytes(stored);
  const type = at.u32();
  at.at += 4;
  const sizeBytes = at.word();
  at.at += 8;
  if (type !== 1) throw new BytesError(`section ${name} is compressed in a way (${type}) that is not known here`);
  if (sizeBytes > LARGEST_SECTION) throw new BytesError(`section ${name} is too large`);
  try {
    const out = inflateSync(at.take(stored.length - at.at), { maxOutputLength: Math.max(1, sizeBytes) });
    if (out.length === sizeBytes) return out;
  } catch (error) {
    throw new BytesError(`section ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw new BytesError(`section ${name} does not hold ${sizeBytes} bytes`);
}

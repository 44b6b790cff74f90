import { firstIndex } from '../binary-search.js';
import { BytesError } from '../bytes.js';
import { badFile } from '../errors.js';
import { firstWins, type Piece } from '../overlaps.js';
import { InMemoryBytes, RegularFile, type FileBytes } from '../regular-file.js';
import { CachedBytes } from './cached-bytes.js';
import {
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
import { LARGEST_SECTION, uncompressSection } from './section-data.js';
import { SymbolIndex } from './symbol-index.js';
import { symbolsIn, type ElfSymbol } from './symbols.js';

/** Link-time addresses whose bytes are in the file: those of [lo, hi) start at `fileOffset`. */
export interface LoadedRange {
  readonly lo: number;
  readonly hi: number;
  readonly fileOffset: number;
  readonly segment: ElfSegment;
}

/**
 * A 64-bit little-endian ELF file for amd64 or arm64: an executable, a library or a core, of any size. Parts of it are
 * read when they are needed, never the whole file. Only the file header and the program headers must be intact: broken
 * section headers are left out and listed in `problems`.
 */
export class ElfFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly header: ElfHeader;
  readonly segments: readonly ElfSegment[];
  /** Empty if the file has no section headers or they are broken. */
  readonly sections: readonly ElfSection[];
  /** What could not be read, one sentence each. */
  readonly problems: readonly string[];
  /** The parts of PT_LOAD segments that are in the file, ascending, never overlapping. */
  readonly loaded: readonly LoadedRange[];
  /** By how many bytes segments reach past the end of the file. Above 0 if the file was cut short. */
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
      this.sections = readOrReport(problems, 'the section headers', () => {
        return parseSections(this.#file, sections, namesIndex);
      });
    } catch (error) {
      if (!(error instanceof BytesError)) throw error;
      throw badFile(`${file.path} is damaged or truncated in its ELF headers: ${error.message}`, { cause: error });
    }
    this.problems = problems;
    const loads = this.segments.filter(({ type }) => type === SegmentType.load);
    this.loaded = loadedRanges(loads, this.sizeBytes);
  }

  /**
   * Opens a file by its path, or takes over an open descriptor. Throws `badFile` if it is missing, not an ELF file or
   * broken, and `unsupported` if it is for another CPU, 32-bit or big-endian.
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

  /** Parses an ELF file in memory; `path` names it in messages. Throws as {@link open} does. */
  static from(path: string, bytes: Uint8Array): ElfFile {
    return new ElfFile(new InMemoryBytes(path, bytes));
  }

  /** Parses an ELF file from any source of bytes, which is closed with the file. Throws as {@link open} does. */
  static over(bytes: FileBytes): ElfFile {
    return new ElfFile(bytes);
  }

  close(): void {
    this.#file.close();
  }

  /** Returns the first section of that name. */
  section(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** Returns the uncompressed content of a section; empty for .bss. Throws {@link BytesError} if broken or too large. */
  contents(section: ElfSection): Uint8Array {
    if (section.type === SectionType.noBits) return new Uint8Array(0);
    if (section.sizeBytes > LARGEST_SECTION) throw new BytesError(`section ${section.name} is too large`);
    return uncompressSection(section, this.#file.read(section.fileOffset, section.sizeBytes));
  }

  /** Returns bytes by their offset in the file. Throws {@link BytesError} if some are not in the file. */
  bytesInFile(fileOffset: number, length: number): Uint8Array {
    return this.#file.read(fileOffset, length);
  }

  /** Returns the range of {@link loaded} that contains a link-time address, or undefined. */
  rangeAt(vaddr: number): LoadedRange | undefined {
    const range = this.loaded[firstIndex(this.loaded.length, (i) => (this.loaded[i]?.lo ?? Infinity) > vaddr) - 1];
    return range !== undefined && vaddr < range.hi ? range : undefined;
  }

  /** Returns bytes by their link-time address, or null if one of them is not in the file (.bss, a hole, cut off). */
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
   * Yields all notes: those of the PT_NOTE segments and of note sections outside of them. After a broken note, the rest
   * of its segment or section is left out.
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

  /** NT_GNU_BUILD_ID in hex, or null if there is none. */
  get buildId(): string | null {
    const content = this.#note('GNU', NOTE_GNU_BUILD_ID);
    return content === null || content.length === 0 ? null : Buffer.from(content).toString('hex');
  }

  /** Go's own build id, or null if there is none. */
  get goBuildId(): string | null {
    const content = this.#note('Go', NOTE_GO_BUILD_ID);
    return content === null || content.length === 0 ? null : Buffer.from(content).toString('utf8');
  }

  /** Yields the symbols of .symtab, or of .dynsym if the file is stripped. Throws {@link BytesError} if broken. */
  *symbols(): Generator<ElfSymbol> {
    const found = this.#symbolTable();
    if (found !== null) yield* symbolsIn(this.#file, found.table, found.strings);
  }

  /** The functions of the same table by address; null if there is no table. Throws {@link BytesError} if it is broken. */
  functions(): SymbolIndex | null {
    return this.#index('function');
  }

  /** The variables of the same table by address, as {@link functions}. */
  variables(): SymbolIndex | null {
    return this.#index('object');
  }

  #index(wanted: 'function' | 'object'): SymbolIndex | null {
    const found = this.#symbolTable();
    return found === null ? null : new SymbolIndex(this.#file, found.table, found.strings, wanted);
  }

  /** Returns the first defined symbol of that name, by a search through all symbols. Throws {@link BytesError}. */
  symbol(name: string): ElfSymbol | undefined {
    for (const symbol of this.symbols()) if (symbol.defined && symbol.name === name) return symbol;
    return undefined;
  }

  #symbolTable(): { readonly table: ElfSection; readonly strings: ElfSection } | null {
    const table =
      this.sections.find(({ type }) => type === SectionType.symbols) ??
      this.sections.find(({ type }) => type === SectionType.dynamicSymbols);
    const strings = table === undefined ? undefined : this.sections[table.link];
    return table === undefined || strings === undefined ? null : { table, strings };
  }

  #notePlaces(): NotePlace[] {
    const places: NotePlace[] = this.segments
      .filter(({ type }) => type === SegmentType.note)
      .map(({ fileOffset, fileSize, align }) => ({ fileOffset, sizeBytes: fileSize, align }));
    // Go's linker puts only its own build id into a PT_NOTE segment; the GNU build id has just a section.
    for (const section of this.sections.filter(({ type }) => type === SectionType.note)) {
      const { fileOffset, sizeBytes } = section;
      const contains = (p: NotePlace): boolean =>
        fileOffset >= p.fileOffset && fileOffset + sizeBytes <= p.fileOffset + p.sizeBytes;
      if (!places.some(contains)) places.push(section);
    }
    return places;
  }

  #note(owner: string, type: number): Uint8Array | null {
    for (const note of this.notes()) if (note.owner === owner && note.type === type) return note.content;
    return null;
  }
}

/** Returns what `read` returns; if it throws BytesError, adds a sentence about `what` to `problems` and returns []. */
function readOrReport<T>(problems: string[], what: string, read: () => T[]): T[] {
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

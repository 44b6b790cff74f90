import { statSync } from 'node:fs';
import { firstIndex } from '../../snapshots/binary-search.js';
import { BytesError } from '../../snapshots/bytes.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SegmentType } from '../../snapshots/elf/headers.js';
import type { SymbolIndex } from '../../snapshots/elf/symbol-index.js';
import { GospyError } from '../../snapshots/errors.js';
import type { Mapping, NativeFunction } from '../../snapshots/image.js';

/** A mapped file and its functions. */
interface MappedFile {
  readonly file: ElfFile;
  readonly functions: SymbolIndex;
}

/** The files that a process has mapped, each opened and indexed once. */
export class MappedFiles {
  readonly #pid: number;
  readonly #mappings: readonly Mapping[];
  /** By start of the mapping; null if its file cannot be read, or has no symbols. */
  readonly #ofMapping = new Map<number, MappedFile | null>();
  /** By device and inode: two files may have had one path, one after the other. */
  readonly #ofInode = new Map<string, MappedFile | null>();

  /** `mappings` must be ascending. */
  constructor(pid: number, mappings: readonly Mapping[]) {
    this.#pid = pid;
    this.#mappings = mappings;
  }

  /** The function that holds a pc; null if that is not known. */
  functionAt(pc: number): NativeFunction | null {
    const mapping = this.#mappingAt(pc);
    const mapped = mapping?.executable === true ? this.#fileOf(mapping) : null;
    const bias = mapping === null || mapped === null ? null : biasAt(mapped.file, mapping, pc);
    if (mapping === null || mapped === null || bias === null) return null;
    const found = orNull(() => mapped.functions.at(pc - bias));
    return found === null ? null : { name: found.name, file: mapping.path, offset: pc - bias - found.value };
  }

  /**
   * The file that holds what lies at an address, and that address minus the one in the file; null if it cannot be read, or has
   * no symbols. It is closed with this.
   */
  loadedAt(addr: number): { readonly file: ElfFile; readonly bias: number } | null {
    const mapping = this.#mappingAt(addr);
    const file = mapping === null ? null : (this.#fileOf(mapping)?.file ?? null);
    const bias = mapping === null || file === null ? null : biasAt(file, mapping, addr);
    return file === null || bias === null ? null : { file, bias };
  }

  #mappingAt(addr: number): Mapping | null {
    const mappings = this.#mappings;
    const mapping = mappings[firstIndex(mappings.length, (i) => (mappings[i]?.end ?? Infinity) > addr)];
    return mapping === undefined || addr < mapping.start ? null : mapping;
  }

  close(): void {
    for (const mapped of this.#ofInode.values()) mapped?.file.close();
  }

  #fileOf(mapping: Mapping): MappedFile | null {
    const known = this.#ofMapping.get(mapping.start);
    if (known !== undefined) return known;
    const mapped = mapping.path.startsWith('/') ? this.#find(mapping) : null;
    this.#ofMapping.set(mapping.start, mapped);
    return mapped;
  }

  /** The file of a mapping, from the kernel's link or by its path in the process's root; null if neither can be read. */
  #find({ start, end, path }: Mapping): MappedFile | null {
    const link = `/proc/${this.#pid}/map_files/${start.toString(16)}-${end.toString(16)}`;
    return this.#open(link) ?? this.#open(`/proc/${this.#pid}/root${path}`);
  }

  #open(path: string): MappedFile | null {
    const inode = inodeOf(path);
    if (inode === null) return null;
    const known = this.#ofInode.get(inode);
    if (known !== undefined) return known;
    const mapped = orNull(() => openIndexed(path));
    this.#ofInode.set(inode, mapped);
    return mapped;
  }
}

/** Address in the process minus address in the file, of what lies at an address in a mapping; null if no segment is there. */
function biasAt(file: ElfFile, mapping: Mapping, addr: number): number | null {
  const offset = addr - mapping.start + mapping.fileOffset;
  const segment = file.segments.find(
    ({ type, fileOffset, fileSize }) =>
      type === SegmentType.load && offset >= fileOffset && offset < fileOffset + fileSize,
  );
  return segment === undefined ? null : addr - (offset - segment.fileOffset + segment.vaddr);
}

function openIndexed(path: string): MappedFile | null {
  const file = ElfFile.open(path);
  const functions = orNull(() => file.functions());
  if (functions !== null) return { file, functions };
  file.close();
  return null;
}

/** Identifies a file on this machine; null if it cannot be reached. */
function inodeOf(path: string): string | null {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev} ${ino}`;
  } catch {
    return null;
  }
}

/** What `read` returns; null if a file turns out to be broken or unreadable. */
function orNull<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof BytesError || error instanceof GospyError) return null;
    throw error;
  }
}

import { statSync } from 'node:fs';
import { firstIndex } from '../../snapshots/binary-search.js';
import { BytesError } from '../../snapshots/bytes.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import type { FunctionIndex } from '../../snapshots/elf/function-index.js';
import { SegmentType } from '../../snapshots/elf/headers.js';
import { GospyError } from '../../snapshots/errors.js';
import type { Mapping, NativeFunction, Thread } from '../../snapshots/image.js';

/**
 * Adds to threads the C function that each is in, from the symbol table of the mapped file, which only this machine has. A
 * thread in Go code (see `isGo`) gets none, nor does one whose file cannot be read or has no symbol there. `mappings` must
 * be ascending.
 */
export function withNativeFunctions(
  threads: readonly Thread[],
  pid: number,
  mappings: readonly Mapping[],
  isGo: (pc: number) => boolean,
): Thread[] {
  const files = new MappedFiles(pid);
  try {
    return threads.map((thread) => {
      const pc = thread.registers === null ? 0 : Number(thread.registers.pc);
      const mapping = mappings[firstIndex(mappings.length, (i) => (mappings[i]?.end ?? Infinity) > pc)];
      if (mapping === undefined || pc < mapping.start || !mapping.executable || isGo(pc)) return thread;
      const native = files.functionAt(mapping, pc);
      return native === null ? thread : { ...thread, native };
    });
  } finally {
    files.close();
  }
}

/** A mapped file and its functions. */
interface MappedFile {
  readonly file: ElfFile;
  readonly functions: FunctionIndex;
}

/** The files that a process has mapped, each opened and indexed once. */
class MappedFiles {
  readonly #pid: number;
  /** By start of the mapping; null if its file cannot be read, or has no symbols. */
  readonly #ofMapping = new Map<number, MappedFile | null>();
  /** By device and inode: two files may have had one path, one after the other. */
  readonly #ofInode = new Map<string, MappedFile | null>();

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** The function that holds a pc within a mapping; null if that is not known. */
  functionAt(mapping: Mapping, pc: number): NativeFunction | null {
    const mapped = this.#fileOf(mapping);
    if (mapped === null) return null;
    const fileOffset = pc - mapping.start + mapping.fileOffset;
    const segment = mapped.file.segments.find(
      (s) => s.type === SegmentType.load && fileOffset >= s.fileOffset && fileOffset < s.fileOffset + s.fileSize,
    );
    if (segment === undefined) return null;
    const vaddr = fileOffset - segment.fileOffset + segment.vaddr;
    const found = orNull(() => mapped.functions.at(vaddr));
    return found === null ? null : { name: found.name, file: mapping.path, offset: vaddr - found.value };
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

import { BytesError } from '../../snapshots/bytes.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { SegmentType } from '../../snapshots/elf/headers.js';
import { GospyError } from '../../snapshots/errors.js';
import type { Mapping, NativeFunction, Thread } from '../../snapshots/image.js';

/**
 * Adds to threads the C function that each is in, from the symbol table of the mapped file, which only this machine has. A
 * thread in Go code (see `isGo`) gets none, nor does one whose file cannot be read or has no symbol there.
 */
export function withNativeFunctions(
  threads: readonly Thread[],
  pid: number,
  mappings: readonly Mapping[],
  isGo: (pc: number) => boolean,
): Thread[] {
  const files = new Map<string, ElfFile | null>();
  try {
    return threads.map((thread) => {
      const pc = thread.registers === null ? 0 : Number(thread.registers.pc);
      const mapping = mappings.find(({ start, end, executable }) => executable && pc >= start && pc < end);
      if (mapping?.path.startsWith('/') !== true || isGo(pc)) return thread;
      const file = fileOf(files, pid, mapping);
      const native = file === null ? null : functionAt(file, mapping, pc);
      return native === null ? thread : { ...thread, native };
    });
  } finally {
    for (const file of files.values()) file?.close();
  }
}

/** The open file of a mapping, from the kernel's link or by its path in the process's root; null if neither can be read. */
function fileOf(files: Map<string, ElfFile | null>, pid: number, mapping: Mapping): ElfFile | null {
  const known = files.get(mapping.path);
  if (known !== undefined) return known;
  const range = `${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
  const file = openElf(`/proc/${pid}/map_files/${range}`) ?? openElf(`/proc/${pid}/root${mapping.path}`);
  files.set(mapping.path, file);
  return file;
}

function openElf(path: string): ElfFile | null {
  try {
    return ElfFile.open(path);
  } catch (error) {
    if (error instanceof GospyError) return null;
    throw error;
  }
}

/** The function that holds a pc within a mapping of a file. */
function functionAt(file: ElfFile, mapping: Mapping, pc: number): NativeFunction | null {
  const fileOffset = pc - mapping.start + mapping.fileOffset;
  const segment = file.segments.find(
    (s) => s.type === SegmentType.load && fileOffset >= s.fileOffset && fileOffset < s.fileOffset + s.fileSize,
  );
  if (segment === undefined) return null;
  const vaddr = fileOffset - segment.fileOffset + segment.vaddr;
  try {
    for (const { name, value, sizeBytes, type, defined } of file.symbols()) {
      if (type === 'function' && defined && vaddr >= value && vaddr < value + sizeBytes) {
        return { name, file: mapping.path, offset: vaddr - value };
      }
    }
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
  }
  return null;
}

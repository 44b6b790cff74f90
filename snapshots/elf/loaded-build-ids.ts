import type { Addr } from '../address.js';
import { BytesError } from '../bytes.js';
import { GospyError } from '../errors.js';
import type { Executable } from '../image.js';
import { onFault, type Memory } from '../memory.js';
import type { FileBytes } from '../regular-file.js';
import { ElfFile } from './elf-file.js';
import { NOTE_GNU_BUILD_ID } from './notes.js';

/** The ids by which builds of a program differ, as far as they are known. */
export type BuildIds = Pick<Executable, 'buildId' | 'goBuildId'>;

export const NO_IDS: BuildIds = { buildId: null, goBuildId: null };

/** How many bytes of a loaded file are searched for headers and notes: those come first, and a core may have no more. */
const LOADED_HEAD_BYTES = 2 ** 16;
const PAGE = 4096;
/** Type and owner of the note. The lengths of owner and content come before them. */
const GNU_BUILD_ID_NOTE = Buffer.from([NOTE_GNU_BUILD_ID, 0, 0, 0, ...Buffer.from('GNU\0')]);
const GNU_OWNER_BYTES = 4;
const MOST_ID_BYTES = 64;

/** Reads the build ids of a file loaded at `base`. In its first pages, file offsets are distances from `base`. */
export function loadedBuildIds(memory: Memory, base: number): BuildIds {
  const [known] = memory.ranges(base as Addr, (base + LOADED_HEAD_BYTES) as Addr);
  if (known?.lo !== base) return NO_IDS;
  const bytes = new LoadedBytes(memory, known.lo, known.hi - known.lo);
  try {
    const file = ElfFile.over(bytes);
    return { buildId: file.buildId ?? gnuBuildIdIn(bytes), goBuildId: file.goBuildId };
  } catch (error) {
    if (!(error instanceof GospyError)) throw error;
    return NO_IDS;
  }
}

/**
 * Searches the first page for a GNU build id. Go's linker lists only its own note in the program headers; the GNU note
 * follows it and is listed in the section headers, which are not in memory.
 */
function gnuBuildIdIn(bytes: LoadedBytes): string | null {
  const head = Buffer.from(bytes.read(0, Math.min(PAGE, bytes.sizeBytes)));
  const at = head.indexOf(GNU_BUILD_ID_NOTE);
  if (at < 8 || at + GNU_BUILD_ID_NOTE.length > head.length || head.readUInt32LE(at - 8) !== GNU_OWNER_BYTES)
    return null;
  const length = head.readUInt32LE(at - 4);
  const id = head.subarray(at + GNU_BUILD_ID_NOTE.length, at + GNU_BUILD_ID_NOTE.length + length);
  return length > 0 && length <= MOST_ID_BYTES && id.length === length ? id.toString('hex') : null;
}

/** A file that was loaded into a process, read from the process's memory. */
class LoadedBytes implements FileBytes {
  readonly path = 'a loaded file';
  readonly sizeBytes: number;
  readonly #memory: Memory;
  readonly #base: Addr;

  constructor(memory: Memory, base: Addr, sizeBytes: number) {
    this.#memory = memory;
    this.#base = base;
    this.sizeBytes = sizeBytes;
  }

  read(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes)) {
      throw new BytesError(`${length} bytes at ${offset} are not in the first page`);
    }
    return onFault(
      () => this.#memory.bytes((this.#base + offset) as Addr, length),
      ({ message }) => {
        throw new BytesError(message);
      },
    );
  }

  close(): void {
    return;
  }
}

import { Bytes, BytesError } from '../bytes.js';
import type { FileBytes } from '../regular-file.js';

/** An entry of a PT_NOTE segment or a note section. */
export interface ElfNote {
  /** Who defined the type: `GNU`, `Go`, `CORE`, `LINUX`. */
  readonly owner: string;
  readonly type: number;
  readonly content: Uint8Array;
}

/** NT_GNU_BUILD_ID of owner `GNU`. */
export const NOTE_GNU_BUILD_ID = 3;
/** The Go build id, of owner `Go` (cmd/link's ELF_NOTE_GOBUILDID_TAG). */
export const NOTE_GO_BUILD_ID = 4;

/** Largest accepted note, in bytes. The longest in practice is a core's list of mapped files: a few megabytes. */
const LONGEST_NOTE = 2 ** 28;

/** A part of the file that consists of notes. */
export interface NotePlace {
  readonly fileOffset: number;
  readonly sizeBytes: number;
  /** 8 if notes are padded to multiples of eight bytes; anything else means four. */
  readonly align: number;
}

/**
 * Yields the notes of a place, each read when it is reached. Throws {@link BytesError} at the first note that is broken or
 * reaches past the end of the place; those before it are good.
 */
export function* notesAt(file: FileBytes, place: NotePlace): Generator<ElfNote> {
  const align = place.align === 8 ? 8 : 4;
  const end = place.fileOffset + place.sizeBytes;
  let at = place.fileOffset;
  while (at + 12 <= end) {
    const head = new Bytes(file.read(at, 12));
    const [ownerSize, contentSize, type] = [head.u32(), head.u32(), head.u32()];
    const content = place.fileOffset + roundUp(at - place.fileOffset + 12 + ownerSize, align);
    if (ownerSize + contentSize > LONGEST_NOTE) throw new BytesError(`the note at ${at} is too large`);
    if (content + contentSize > end)
      throw new BytesError(`the note at ${at} reaches past the end of its segment, ${end}`);
    yield { owner: textOf(file.read(at + 12, ownerSize)), type, content: file.read(content, contentSize) };
    at = place.fileOffset + roundUp(content - place.fileOffset + contentSize, align);
  }
}

function roundUp(n: number, unit: number): number {
  return Math.ceil(n / unit) * unit;
}

/** Decodes UTF-8 up to the first NUL, or to the end if there is none. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

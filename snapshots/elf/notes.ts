import { Bytes, BytesError } from '../bytes.js';
import type { FileBytes } from '../regular-file.js';

/** One note: who defined it, what it is, and its content. */
export interface ElfNote {
  /** `GNU`, `Go`, `CORE`, `LINUX`. */
  readonly owner: string;
  readonly type: number;
  readonly content: Uint8Array;
}

/** NT_GNU_BUILD_ID of owner `GNU`. */
export const NOTE_GNU_BUILD_ID = 3;
/** The Go build id, of owner `Go`. */
export const NOTE_GO_BUILD_ID = 4;

/** A core's list of mapped files is the longest there is: a few megabytes. */
const LONGEST_NOTE = 2 ** 28;

/** A place in the file that holds notes one behind the other. */
export interface NotePlace {
  readonly fileOffset: number;
  readonly sizeBytes: number;
  /** 8 where notes are padded to eight bytes; anything else means four. */
  readonly align: number;
}

/**
 * The notes at a place, each read when it is asked for. Ends with {@link BytesError} where a note is broken or leaves
 * its place; those before it are good.
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
    if (content + contentSize > end) throw new BytesError(`the note at ${at} leaves its segment, which ends at ${end}`);
    yield { owner: text(file.read(at + 12, ownerSize)), type, content: file.read(content, contentSize) };
    at = place.fileOffset + roundUp(content - place.fileOffset + contentSize, align);
  }
}

function roundUp(n: number, unit: number): number {
  return Math.ceil(n / unit) * unit;
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

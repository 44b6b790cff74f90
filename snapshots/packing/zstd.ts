import { BytesError } from '../bytes.js';
import type { FileBytes } from '../regular-file.js';
import { FileReader } from './file-reader.js';
import { StreamRefused, TrailingBytes } from './stream-errors.js';
import { Xxh64 } from './xxh64.js';
import { BlockDecoder, MOST_BLOCK, type History } from './zstd-block.js';

const FRAME = 0xfd2fb528;
/** The lower four bits of a skippable frame's magic number may have any value. */
const SKIPPABLE = 0x184d2a50;
/** Magic numbers of zstd 0.1 to 0.7, before the format was settled. */
const LEGACY: readonly number[] = [0x1e, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27].map((last) => 0xfd2fb500 + last);

/** Largest window that is kept in memory, in bytes. It grows with the content. */
const LARGEST_WINDOW = 2 ** 31 - 1;
const SMALLEST_HISTORY = 2 ** 20;
const GIB = 2 ** 30;

/** What a frame's header says. */
interface FrameHeader {
  readonly windowBytes: number;
  /** Size of the content; null where it is not said. */
  readonly contentBytes: number | null;
  readonly hasChecksum: boolean;
}

/**
 * Yields the content of a Zstandard file (RFC 8878), block by block; a piece is valid until the next is asked for. There may
 * be any number of frames, and skippable frames among them. Throws StreamCut, {@link TrailingBytes}, {@link StreamRefused},
 * or BytesError where it is damaged; all before were right, except for a wrong checksum.
 */
export function* unpackZstd(file: FileBytes): Generator<Uint8Array> {
  const reader = new FileReader(file);
  const history = new GrowingHistory();
  while (reader.left > 0) {
    const start = reader.at;
    const magic = reader.word(4);
    if (magic - (magic % 16) === SKIPPABLE) reader.skip(reader.word(4));
    else if (magic === FRAME) yield* frame(reader, history);
    else if (LEGACY.includes(magic)) throw new StreamRefused(LEGACY_FORMAT, 'unpack it with the zstd that wrote it');
    else throw new TrailingBytes(`${file.sizeBytes - start} bytes at offset ${start} of the file are not zstd`);
  }
}

const LEGACY_FORMAT = 'it was written by a zstd before 0.8, in another format';

function* frame(reader: FileReader, history: GrowingHistory): Generator<Uint8Array> {
  const { windowBytes, contentBytes, hasChecksum } = readHeader(reader);
  history.begin(windowBytes);
  const decoder = new BlockDecoder();
  const hash = hasChecksum ? new Xxh64() : null;
  const mostBytes = Math.min(MOST_BLOCK, windowBytes);
  let sizeBytes = 0;
  for (let last = false; !last;) {
    const head = reader.word(3);
    last = head % 2 === 1;
    const kind = Math.floor(head / 2) % 4;
    const size = Math.floor(head / 8);
    if (kind === 3 || size > mostBytes)
      throw new BytesError(`the block at offset ${reader.at - 3} of the file is damaged`);
    const block = reader.take(kind === 1 ? 1 : size);
    history.makeRoom();
    const from = history.end;
    if (kind === 2) decoder.decode(block, history);
    else {
      if (kind === 0) history.bytes.set(block, from);
      else history.bytes.fill(block[0] ?? 0, from, from + size);
      history.end += size;
    }
    const content = history.bytes.subarray(from, history.end);
    hash?.update(content);
    sizeBytes += content.length;
    yield content;
  }
  if (contentBytes !== null && sizeBytes !== contentBytes) {
    throw new BytesError(`a frame has ${sizeBytes} bytes in it, and its header says ${contentBytes}`);
  }
  if (hash !== null && reader.word(4) !== hash.digest32()) throw new BytesError('the checksum of a frame is wrong');
}

function readHeader(reader: FileReader): FrameHeader {
  const flags = reader.word(1);
  if ((flags & 8) !== 0) throw new BytesError('the header of a frame is damaged');
  const single = (flags & 32) !== 0;
  let windowBytes = 0;
  if (!single) {
    const descriptor = reader.word(1);
    const base = 2 ** (10 + (descriptor >>> 3));
    windowBytes = base + (base / 8) * (descriptor & 7);
  }
  const dictionary = reader.word([0, 1, 2, 4][flags & 3] ?? 0);
  const width = [single ? 1 : 0, 2, 4, 8][flags >>> 6] ?? 0;
  const contentBytes = width === 0 ? null : reader.word(width) + (width === 2 ? 256 : 0);
  if (single) windowBytes = contentBytes ?? 0;
  if (dictionary !== 0) {
    throw new StreamRefused(`it needs the dictionary ${dictionary}`, 'unpack it with `zstd -d -D DICTIONARY`');
  }
  if (windowBytes > LARGEST_WINDOW) {
    const gib = Number((windowBytes / GIB).toFixed(2));
    throw new StreamRefused(
      `its window is ${gib} GiB, and gospy unpacks those of less than 2 GiB`,
      `unpack it with \`zstd -d --long=${Math.ceil(Math.log2(windowBytes))}\``,
    );
  }
  return { windowBytes, contentBytes, hasChecksum: (flags & 4) !== 0 };
}

/** The window of a frame and room for one more block, in a buffer that grows as it is filled. */
class GrowingHistory implements History {
  bytes = new Uint8Array(SMALLEST_HISTORY);
  end = 0;
  #windowBytes = 0;

  /** Forgets the frame before. */
  begin(windowBytes: number): void {
    this.#windowBytes = windowBytes;
    this.end = 0;
  }

  /** Makes room for a block. */
  makeRoom(): void {
    if (this.end + MOST_BLOCK <= this.bytes.length) return;
    // A quarter more than the window: bytes are moved at most a few times.
    const most = this.#windowBytes + Math.max(SMALLEST_HISTORY, Math.floor(this.#windowBytes / 4));
    if (this.bytes.length < most) {
      const larger = new Uint8Array(Math.min(most, 2 * this.bytes.length));
      larger.set(this.bytes.subarray(0, this.end));
      this.bytes = larger;
    } else {
      this.bytes.copyWithin(0, this.end - this.#windowBytes, this.end);
      this.end = this.#windowBytes;
    }
  }
}

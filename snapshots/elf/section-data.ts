import { inflateSync } from 'node:zlib';
import { Bytes, BytesError } from '../bytes.js';
import type { ElfSection } from './headers.js';

/** Largest accepted section, in bytes, stored and uncompressed. */
export const LARGEST_SECTION = 2 ** 30;

/** SHF_COMPRESSED of sh_flags: the section starts with an Elf64_Chdr. */
const COMPRESSED_FLAG = 0x800;
/** ELFCOMPRESS_ZLIB of ch_type. */
const ZLIB = 1;

/**
 * Returns the content of a section of which `stored` is what the file holds. Uncompresses zlib in both of its forms: with
 * the flag SHF_COMPRESSED and an Elf64_Chdr, and the older GNU form of sections named `.zdebug_*`, which starts with
 * `ZLIB` (Go before 1.19 writes it). Throws {@link BytesError} if the section is broken or too large.
 */
export function uncompressSection({ name, flags }: ElfSection, stored: Uint8Array): Uint8Array {
  if (flags % (2 * COMPRESSED_FLAG) >= COMPRESSED_FLAG) {
    const at = new Bytes(stored);
    const type = at.u32();
    if (type !== ZLIB) throw new BytesError(`section ${name} is compressed by an unknown method (${type})`);
    at.at += 4;
    const sizeBytes = at.word();
    at.at += 8;
    return inflate(name, stored.subarray(at.at), sizeBytes);
  }
  if (!name.startsWith('.zdebug_')) return stored;
  const at = new Bytes(stored);
  if (Buffer.from(at.take(4)).toString('latin1') !== 'ZLIB') throw new BytesError(`section ${name} has no zlib header`);
  const sizeBytes = Number(Buffer.from(at.take(8)).readBigUInt64BE());
  return inflate(name, stored.subarray(at.at), sizeBytes);
}

function inflate(name: string, compressed: Uint8Array, sizeBytes: number): Uint8Array {
  if (sizeBytes > LARGEST_SECTION) throw new BytesError(`section ${name} is too large`);
  let out: Buffer;
  try {
    out = inflateSync(compressed, { maxOutputLength: Math.max(1, sizeBytes) });
  } catch (error) {
    throw new BytesError(`section ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (out.length !== sizeBytes) throw new BytesError(`section ${name} does not hold ${sizeBytes} bytes`);
  return out;
}

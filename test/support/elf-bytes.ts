import type { Arch } from '../../snapshots/arch.js';

/** A PT_LOAD segment of a made-up file. */
export interface MadeSegment {
  /** Link-time address. */
  readonly vaddr: number;
  readonly bytes: Uint8Array;
  readonly memSize: number;
  /** Readable and executable if not writable. */
  readonly writable: boolean;
}

const MACHINES = { amd64: 62, arm64: 183 };
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;

/** Returns a position-independent ELF file with these segments and nothing else, written from elf(5). */
export function elfBytes(arch: Arch, segments: readonly MadeSegment[]): Uint8Array {
  const headers = Buffer.alloc(HEADER_BYTES + SEGMENT_BYTES * segments.length);
  headers.write('\x7fELF\x02\x01\x01', 'latin1');
  headers.writeUInt16LE(3, 16);
  headers.writeUInt16LE(MACHINES[arch], 18);
  headers.writeUInt32LE(1, 20);
  headers.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  headers.writeUInt16LE(HEADER_BYTES, 52);
  headers.writeUInt16LE(SEGMENT_BYTES, 54);
  headers.writeUInt16LE(segments.length, 56);
  let fileOffset = headers.length;
  for (const [i, { vaddr, bytes, memSize, writable }] of segments.entries()) {
    const at = HEADER_BYTES + SEGMENT_BYTES * i;
    headers.writeUInt32LE(1, at);
    headers.writeUInt32LE(writable ? 6 : 5, at + 4);
    for (const [word, value] of [fileOffset, vaddr, vaddr, bytes.length, memSize, 4096].entries()) {
      headers.writeBigUInt64LE(BigInt(value), at + 8 + 8 * word);
    }
    fileOffset += bytes.length;
  }
  return Buffer.concat([headers, ...segments.map(({ bytes }) => bytes)]);
}

import { deflateSync } from 'node:zlib';
import t from 'tap';
import { BytesError } from '../../../snapshots/bytes.js';
import type { ElfSection } from '../../../snapshots/elf/headers.js';
import { uncompressSection } from '../../../snapshots/elf/section-data.js';

const CONTENT = Buffer.from('debug information '.repeat(20));
/** SHF_COMPRESSED, and a flag beside it that says nothing about compression. */
const COMPRESSED = 0x800;
const STRINGS = 0x20;

function section(name: string, flags: number): ElfSection {
  return { name, type: 1, flags, vaddr: 0, fileOffset: 0, sizeBytes: 0, link: 0, align: 1 };
}

/** Elf64_Chdr: type, reserved, size, alignment. */
function compressionHeader(type: number, sizeBytes: number): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(type, 0);
  header.writeBigUInt64LE(BigInt(sizeBytes), 8);
  header.writeBigUInt64LE(1n, 16);
  return header;
}

function gnuHeader(sizeBytes: number): Buffer {
  const header = Buffer.from('ZLIB        ');
  header.writeBigUInt64BE(BigInt(sizeBytes), 4);
  return header;
}

t.test('section data: both forms of zlib sections are uncompressed, others returned as they are', (t) => {
  const standard = Buffer.concat([compressionHeader(1, CONTENT.length), deflateSync(CONTENT)]);
  const gnu = Buffer.concat([gnuHeader(CONTENT.length), deflateSync(CONTENT)]);
  t.same(uncompressSection(section('.debug_info', COMPRESSED + STRINGS), standard), CONTENT);
  t.same(uncompressSection(section('.zdebug_info', 0), gnu), CONTENT);
  t.equal(uncompressSection(section('.debug_info', STRINGS), CONTENT), CONTENT);
  t.end();
});

t.test('section data: broken or oversized sections are BytesErrors', (t) => {
  const broken: [string, number, Buffer][] = [
    ['.debug_info', COMPRESSED, Buffer.concat([compressionHeader(2, 10), deflateSync(CONTENT)])],
    ['.debug_info', COMPRESSED, Buffer.concat([compressionHeader(1, CONTENT.length + 1), deflateSync(CONTENT)])],
    ['.debug_info', COMPRESSED, Buffer.concat([compressionHeader(1, 5), deflateSync(CONTENT)])],
    ['.debug_info', COMPRESSED, Buffer.concat([compressionHeader(1, 2 ** 40), deflateSync(CONTENT)])],
    ['.debug_info', COMPRESSED, Buffer.concat([compressionHeader(1, CONTENT.length), Buffer.from('nonsense')])],
    ['.debug_info', COMPRESSED, Buffer.alloc(23)],
    ['.zdebug_info', 0, Buffer.concat([Buffer.from('zlib'), deflateSync(CONTENT)])],
    ['.zdebug_info', 0, Buffer.from('ZLIB1234567')],
    ['.zdebug_info', 0, Buffer.concat([gnuHeader(2 ** 50), deflateSync(CONTENT)])],
  ];
  for (const [name, flags, stored] of broken) {
    t.throws(() => uncompressSection(section(name, flags), stored), BytesError, `${name} ${stored.length}`);
  }
  t.end();
});

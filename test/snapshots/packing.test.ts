import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { BytesError } from '../../snapshots/bytes.js';
import { unpackGzip } from '../../snapshots/packing/gzip.js';
import { StreamCut, StreamRefused, TrailingBytes } from '../../snapshots/packing/stream-errors.js';
import { unpackZstd } from '../../snapshots/packing/zstd.js';
import { InMemoryBytes } from '../../snapshots/regular-file.js';
import { random, someSegment, temporaryFolder } from '../support/gsp.js';

const CORE = gunzipSync(readFileSync(fileURLToPath(new URL('../../../snapshots/samples/core.gz', import.meta.url))));
const FLIPS = 300;

/** What could be unpacked, and how that ended. */
interface Outcome {
  readonly content: Buffer;
  readonly error: unknown;
}

async function outcomeOf(content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Outcome> {
  const pieces: Uint8Array[] = [];
  let error: unknown = null;
  try {
    // A piece is valid until the next one.
    for await (const piece of content) pieces.push(Uint8Array.from(piece));
  } catch (thrown) {
    error = thrown;
  }
  return { content: Buffer.concat(pieces), error };
}

const UNPACK = {
  gzip: (bytes: Uint8Array): Promise<Outcome> => outcomeOf(unpackGzip(new InMemoryBytes('made up', bytes))),
  zstd: (bytes: Uint8Array): Promise<Outcome> => outcomeOf(unpackZstd(new InMemoryBytes('made up', bytes))),
};

function zstd(content: Uint8Array, ...args: string[]): Buffer {
  return execFileSync('zstd', ['-qc', ...args], { input: content, maxBuffer: 2 ** 28 });
}

/** A frame that decoders skip. */
function skippable(...content: number[]): Buffer {
  const head = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, Buffer.from(content)]);
}

const PACKED = {
  gzip: (content: Uint8Array): Buffer => gzipSync(content),
  zstd: (content: Uint8Array): Buffer => zstd(content),
};

t.test('zstd: all that the zstd command writes is unpacked', async (t) => {
  const next = random(1);
  const contents: Readonly<Record<string, Uint8Array>> = {
    'a core': CORE,
    nothing: new Uint8Array(0),
    'one byte': Uint8Array.of(7),
    zeros: new Uint8Array(1e6),
    'random bytes': someSegment(next, 0, 300_000).bytes,
    'two letters': someSegment(next, 0, 300_000, 2).bytes,
    'nine letters': someSegment(next, 0, 3000, 9).bytes,
    'a text, repeated': Buffer.from(
      readFileSync(fileURLToPath(import.meta.url))
        .toString()
        .repeat(200),
    ),
  };
  for (const [name, content] of Object.entries(contents)) {
    for (const args of [
      ['-1'],
      ['-3'],
      ['-9', '--no-check'],
      ['-19'],
      ['--ultra', '-22'],
      ['--fast=9'],
      ['--long=27'],
      ['-T2', '-B131072'],
    ]) {
      const { content: unpacked, error } = await UNPACK.zstd(zstd(content, ...args));
      t.equal(error, null, `${name} ${args.join(' ')}`);
      t.ok(unpacked.equals(content), `${name} ${args.join(' ')}: the same bytes`);
    }
  }
  const file = join(temporaryFolder(t), 'core');
  writeFileSync(file, CORE);
  const sized = execFileSync('zstd', ['-qc', file], { maxBuffer: 2 ** 28 });
  t.ok((await UNPACK.zstd(sized)).content.equals(CORE), 'with the size in the header');
});

t.test('zstd: any number of frames, and frames to skip anywhere', async (t) => {
  const [first, second] = [CORE.subarray(0, 200_001), CORE.subarray(200_001)];
  const many = Array.from({ length: 20_000 }, () => skippable());
  for (const parts of [
    [zstd(first), zstd(second)],
    [skippable(1, 2, 3), zstd(first), skippable(), zstd(second), skippable(4)],
    [zstd(Buffer.alloc(0)), zstd(CORE)],
    [...many, zstd(CORE)],
  ]) {
    const { content, error } = await UNPACK.zstd(Buffer.concat(parts));
    t.equal(error, null);
    t.ok(content.equals(CORE));
  }
});

t.test('gzip: any number of members with any header, and zeros at the end', async (t) => {
  const [first, second] = [CORE.subarray(0, 200_001), CORE.subarray(200_001)];
  const packed = gzipSync(first);
  const head = Buffer.from(packed.subarray(0, 10));
  head.writeUInt8(2 | 4 | 8 | 16, 3);
  const texts = Buffer.from('\x03\0abcname\0comment\0\0\0', 'latin1');
  for (const parts of [
    [gzipSync(CORE)],
    [packed, gzipSync(second)],
    [head, texts, packed.subarray(10), gzipSync(second), Buffer.alloc(100_000)],
    [gzipSync(Buffer.alloc(0)), gzipSync(CORE)],
  ]) {
    const { content, error } = await UNPACK.gzip(Buffer.concat(parts));
    t.equal(error, null);
    t.ok(content.equals(CORE));
  }
});

for (const format of ['gzip', 'zstd'] as const) {
  const pack = PACKED[format];
  const unpack = UNPACK[format];

  t.test(`${format}: what is cut anywhere gives the beginning of its content, and says so`, async (t) => {
    const packed = Buffer.concat([skippableFor(format), pack(CORE)]);
    const start = packed.length - pack(CORE).length;
    const ends = [
      ...Array.from({ length: 30 }, (_, i) => start + 1 + i),
      ...Array.from({ length: 12 }, (_, i) => packed.length - 1 - i),
    ];
    for (let at = 1000; at < packed.length; at += 9001) ends.push(at);
    for (const end of ends) {
      const { content, error } = await unpack(packed.subarray(0, end));
      if (!(error instanceof StreamCut)) t.fail(`${end} bytes: ${inspect(error)}`);
      if (!content.equals(CORE.subarray(0, content.length))) t.fail(`${end} bytes: other content`);
      if (end > packed.length - 4 && content.length !== CORE.length) t.fail(`${end} bytes: all is there`);
    }
    t.end();
  });

  t.test(`${format}: a flipped bit is never passed over`, async (t) => {
    const next = random(3);
    const packed = pack(CORE);
    let errors = 0;
    for (let i = 0; i < FLIPS; i++) {
      const bytes = Buffer.from(packed);
      const at = next(i % 4 === 0 ? 40 : bytes.length);
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << next(8)), at);
      const { content, error } = await unpack(bytes);
      if (error === null && !content.equals(CORE)) t.fail(`a flip at ${at} gives other content`);
      const known = [BytesError, StreamCut, StreamRefused, TrailingBytes].some((kind) => error instanceof kind);
      if (error !== null && !known) t.fail(`a flip at ${at}: ${inspect(error)}`);
      if (error !== null) errors++;
    }
    t.ok(errors > FLIPS * 0.9, `${errors} of ${FLIPS} are errors`);
  });

  t.test(`${format}: what follows its end is named, and all before is there`, async (t) => {
    for (const garbage of [Buffer.from('garbage'), Buffer.from([1]), Buffer.from([0, 0, 0, 7, 0])]) {
      const { content, error } = await unpack(Buffer.concat([pack(CORE), garbage]));
      t.ok(content.equals(CORE));
      t.ok(format === 'zstd' && garbage.length < 4 ? error instanceof StreamCut : error instanceof TrailingBytes);
    }
  });
}

function skippableFor(format: 'gzip' | 'zstd'): Buffer {
  return format === 'zstd' ? skippable(1, 2, 3) : Buffer.alloc(0);
}

t.test('zstd: what is not unpacked is refused, with what to do', async (t) => {
  t.match((await UNPACK.zstd(zstd(CORE, '--long=31'))).error, {
    ...{ name: 'StreamRefused', message: /window is 2 GiB/, hint: /zstd -d --long=31/ },
  });
  t.match((await UNPACK.zstd(zstd(CORE, '--long=30'))).error, null);
  const needsDictionary = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x01, 0x58, 7, 1, 0, 0]);
  t.match((await UNPACK.zstd(needsDictionary)).error, { name: 'StreamRefused', message: /dictionary 7/ });
});

t.test('zstd: a code that reads no bits comes to an end', async (t) => {
  // One compressed block, whose Huffman weights come from a table with a single symbol: each state follows itself.
  const weights = [0xf0, 0x03, 0, 0, 1];
  const block = [0x02, 0x81, 0x01, weights.length, ...weights, 0];
  const frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 1 + 4 + block.length * 8, 0, 0, ...block];
  t.match((await UNPACK.zstd(Buffer.from(frame))).error, { name: 'BytesError', message: /too many symbols/ });
});

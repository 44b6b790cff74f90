import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { temporaryFolder, writeSmallSnapshot } from '../support/gsp.js';
import { gospyHere } from './gospy-here.js';

const CORE = gunzipSync(readFileSync(fileURLToPath(new URL('../../../snapshots/samples/core.gz', import.meta.url))));
const folder = temporaryFolder(t);
const plain = file('plain.core', CORE);

function file(name: string, content: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function zstd(content: Uint8Array, ...args: string[]): Buffer {
  return execFileSync('zstd', ['-qc', ...args], { input: content, maxBuffer: 2 ** 28 });
}

t.test('packed core: read as it is without its packing', async (t) => {
  const expected = await gospyHere(['goroutines', plain, '--json']);
  t.equal(expected.code, 0);
  const skipped = Buffer.from('502a4d18080000006162636465666768', 'hex');
  for (const content of [zstd(CORE), Buffer.concat([skipped, zstd(CORE)]), gzipSync(CORE)]) {
    t.same(await gospyHere(['goroutines', file('packed', content), '--json']), expected);
  }
});

t.test('packed core: one that is cut is read like a plain core that ends there', async (t) => {
  const small = zstd(CORE, '-1', '--no-check');
  const packed = gzipSync(CORE, { level: 1 });
  const parts = [
    ...[0.99, 0.9, 0.6].map((share) => small.subarray(0, Math.floor(small.length * share))),
    ...[0.99, 0.97, 0.9, 0.5].map((share) => packed.subarray(0, Math.floor(packed.length * share))),
  ];
  for (const part of parts) {
    const path = file('cut', part);
    const info = await gospyHere(['info', path]);
    const [, size = ''] = /after (\d+) unpacked bytes/.exec(info.stderr) ?? [];
    t.match(info, { code: 5, stderr: /cut is cut: its (gzip|zstd) stream ends early, after \d+ unpacked bytes/ });
    const short = file('short.core', CORE.subarray(0, Number(size)));
    const [own, whole] = [
      await gospyHere(['goroutines', path, '--ndjson']),
      await gospyHere(['goroutines', short, '--ndjson']),
    ];
    t.same([own.code, own.stdout.replaceAll(path, short)], [whole.code, whole.stdout], `${size} bytes`);
  }
  for (const part of [zstd(CORE).subarray(0, 5), zstd(CORE).subarray(0, 18_000), packed.subarray(0, 12)]) {
    t.match(await gospyHere(['summary', file('cut', part)]), {
      code: 5,
      stdout: '',
      stderr: /is cut: .* after 0 unpacked bytes/,
    });
  }
});

t.test('packed core: where a checksum is wrong, what is read of it counts as damaged', async (t) => {
  const [packed, zipped] = [zstd(CORE), gzipSync(CORE)];
  packed.writeUInt8((packed.at(-1) ?? 0) ^ 1, packed.length - 1);
  zipped.writeUInt8((zipped.at(-8) ?? 0) ^ 1, zipped.length - 8);
  for (const content of [packed, zipped]) {
    const { code, stdout, stderr } = await gospyHere(['summary', file('damaged', content)]);
    t.equal(code, 5);
    t.match(stdout, /^Goroutines: /m);
    t.match(stderr, /the answer is not complete: .*is damaged: its \w+ stream is wrong.*checksum/);
  }
});

t.test('packed core: what follows the end of a whole one is warned of', async (t) => {
  for (const content of [zstd(CORE), gzipSync(CORE)]) {
    const path = file('trailing', Buffer.concat([content, Buffer.from('garbage')]));
    t.match(await gospyHere(['summary', path]), { code: 0, stderr: /warning: core-damaged: .*7 bytes at offset \d+/ });
  }
});

t.test('packed files: what gospy does not unpack is named, with the command that does', async (t) => {
  await writeSmallSnapshot(join(folder, 'small.gsp'));
  const tar = Buffer.alloc(1024);
  tar.write('core');
  tar.write('ustar', 257);
  const hex = (text: string): Buffer => Buffer.concat([Buffer.from(text, 'hex'), Buffer.alloc(64, 1)]);
  const cases: readonly [content: Uint8Array, words: RegExp][] = [
    [zstd(CORE, '--long=31'), /its window is 2 GiB.*`zstd -d --long=31`/],
    [gzipSync(gzipSync(CORE)), /a gzip file with a gzip file in it.*gunzip/],
    [zstd(gzipSync(CORE)), /a zstd file with a gzip file in it.*unzstd/],
    [gzipSync(readFileSync(join(folder, 'small.gsp'))), /a gzip file with a gospy snapshot in it.*gunzip/],
    [gzipSync(tar), /a gzip file with a tar archive in it/],
    [zstd(new Uint8Array(0)), /a zstd file with an empty file in it/],
    [tar, /it is a tar archive.*tar -xf/],
    [hex('504b0304'), /a zip archive.*unzip/],
    [hex('377abcaf271c'), /a 7z archive.*7z x/],
    [hex('fd377a585a00'), /an xz file.*unxz/],
    [hex('425a6839'), /a bzip2 file.*bunzip2/],
    [hex('04224d18'), /an lz4 file.*unlz4/],
    [hex('02214c18'), /an lz4 file.*unlz4/],
    [hex('502a4d180100000061' + '04224d18'), /an lz4 file.*unlz4/],
    [hex('1f9d90'), /a compress \(\.Z\) file.*uncompress/],
    [hex('4c5a4950'), /a lzip file.*lzip -d/],
    [hex('894c5a4f000d0a1a0a'), /a lzop file.*lzop -d/],
    [hex('27b52ffd'), /a zstd \(before 0\.8\) file/],
  ];
  for (const [content, words] of cases) {
    for (const command of ['summary', 'info']) {
      const { code, stdout, stderr } = await gospyHere([command, file('other', content)]);
      t.match({ code, stdout }, { code: 5, stdout: '' }, String(words));
      t.match(stderr, words);
    }
  }
});

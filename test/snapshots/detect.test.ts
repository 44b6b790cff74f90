import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { describe, detectFile, kindOf, type FileKind } from '../../snapshots/detect.js';
import { ExitCode } from '../../snapshots/errors.js';
import { temporaryFolder, writeSmallSnapshot } from '../support/gsp.js';

t.test('detect: the content of a file decides, not its name', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'a.txt');
  await writeSmallSnapshot(path);
  t.strictSame(detectFile(path), { kind: 'snapshot' });
  truncateSync(path, 20);
  t.strictSame(detectFile(path), { kind: 'snapshot' }, 'a snapshot cut short is still a snapshot');

  const contents: [string | Uint8Array, FileKind['kind']][] = [
    ['', 'empty'],
    ['hällo\nworld\t\r\n', 'text'],
    [gzipSync('x'), 'compressed'],
    [Buffer.from('28b52ffd00', 'hex'), 'compressed'],
    [Buffer.from('7f454c46', 'hex'), 'unknown'],
    [Buffer.from('0001020304', 'hex'), 'unknown'],
  ];
  for (const [content, kind] of contents) {
    writeFileSync(path, content);
    t.equal(detectFile(path).kind, kind, kind);
    t.type(describe(detectFile(path)), 'string');
  }
  t.equal(detectFile(folder).kind, 'folder');
  t.equal(detectFile('/dev/null').kind, 'device');
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  t.equal(detectFile(pipe).kind, 'pipe');
  t.throws(() => detectFile(join(folder, 'none')), { exitCode: ExitCode.badFile, message: /no such file/ });
});

t.test('detect: ELF files by their type', (t) => {
  t.equal(detectFile(process.execPath).kind, 'elf');
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(4, 16);
  header.writeUInt16LE(183, 18);
  t.strictSame(kindOf(header), { kind: 'core', machine: 183 });
  header.writeUInt16LE(3, 16);
  t.strictSame(kindOf(header), { kind: 'elf', type: 'shared', machine: 183 });
  header.writeUInt16LE(0xff00, 16);
  t.strictSame(kindOf(header), { kind: 'elf', type: 'other', machine: 183 });
  t.end();
});

import { closeSync, openSync, readFileSync, readSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addr } from '../../../snapshots/address.js';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../../snapshots/elf/elf-source.js';
import { LayeredSource, Memory, MemoryFault, SegmentSource } from '../../../snapshots/memory.js';
import { temporaryFolder } from '../../support/gsp.js';

t.test('elf source: has the same bytes as this process has in memory from its executable', (t) => {
  const file = ElfFile.open(process.execPath);
  t.teardown(() => file.close());
  const bias = biasOfThisProcess(file);
  const source = new ElfSource(file, bias);
  const memory = new Memory(source);
  const fd = openSync('/proc/self/mem', 'r');
  t.teardown(() => closeSync(fd));
  let compared = 0;
  for (const { lo, hi } of source.ranges(0, 2 ** 48)) {
    const step = Math.max(1, Math.floor((hi - lo) / 40));
    for (let at: number = lo; at < hi; at += step) {
      const length = Math.min(700, hi - at);
      const there = Buffer.alloc(length);
      readSync(fd, there, 0, length, at);
      if (Buffer.compare(memory.bytes(addr(at), length), there) !== 0) t.fail(`bytes differ at ${at.toString(16)}`);
      compared += length;
    }
  }
  t.ok(compared > 50_000, `${compared} bytes compared`);
  t.end();
});

t.test('elf source: writable segments are absent', (t) => {
  const file = ElfFile.open(process.execPath);
  t.teardown(() => file.close());
  const memory = new Memory(new ElfSource(file, 0x10000));
  const writable = file.loaded.find(({ segment }) => segment.writable);
  const readOnly = file.loaded.find(({ segment }) => !segment.writable);
  if (writable === undefined || readOnly === undefined) throw new Error('node has no such segments');
  t.throws(() => memory.u8(addr(writable.lo + 0x10000)), MemoryFault);
  t.equal(memory.u8(addr(readOnly.lo + 0x10000)), file.bytesAt(readOnly.lo, 1)?.[0]);
  t.notOk(memory.has(addr(readOnly.lo + 0x10000 - 1), 1));
  t.end();
});

t.test('elf source: a layer of captured memory hides it', (t) => {
  const file = ElfFile.open(process.execPath);
  t.teardown(() => file.close());
  const range = file.loaded.find(({ segment, lo, hi }) => !segment.writable && hi - lo > 2 ** 20);
  if (range === undefined) throw new Error('node has no large segment');
  const at = addr(range.lo + 300_000);
  const captured = new SegmentSource([{ addr: at, bytes: Uint8Array.from([1, 2, 3]) }]);
  const memory = new Memory(new LayeredSource([captured, new ElfSource(file, 0)]));
  const expected = Buffer.from(file.bytesAt(at - 10, 20) ?? []);
  expected.set([1, 2, 3], 10);
  t.equal(Buffer.compare(memory.bytes(addr(at - 10), 20), expected), 0);
  t.end();
});

t.test('elf source: memory of a file that becomes shorter is absent, with the reason', (t) => {
  const path = join(temporaryFolder(t), 'copy');
  writeFileSync(path, readFileSync('/usr/bin/bash'));
  const file = ElfFile.open(path);
  t.teardown(() => file.close());
  const range = file.loaded.findLast(({ segment, fileOffset }) => !segment.writable && fileOffset > 2 ** 17);
  if (range === undefined) throw new Error('bash has no such segment');
  truncateSync(path, 100);
  const memory = new Memory(new ElfSource(file, 0));
  t.throws(() => memory.u8(addr(range.hi - 1)), { name: 'MemoryFault', message: /became shorter/ });
  t.end();
});

/** Returns the bias of this process's executable, from /proc/self/maps. */
function biasOfThisProcess(file: ElfFile): number {
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const m = /^(\w+)-\w+ \S+ (\w+) \S+ \d+ +(.*)$/.exec(line);
    if (m?.[3] !== process.execPath) continue;
    const offset = parseInt(m[2] ?? '', 16);
    const segment = file.loaded.find(({ fileOffset }) => fileOffset - (fileOffset % 4096) === offset);
    if (segment !== undefined) return parseInt(m[1] ?? '', 16) - (segment.lo - (segment.lo % 4096));
  }
  throw new Error('this process has no mapping of its executable');
}

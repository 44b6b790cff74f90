import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ExitCode } from '../../../snapshots/errors.js';
import { checkOutput, removeUnfinished } from '../../../snapshots/atomic-file.js';
import { openSnapshot } from '../../../snapshots/gsp/read.js';
import { writeSnapshot } from '../../../snapshots/gsp/write.js';
import type { Segment } from '../../../snapshots/memory.js';
import { random, someFacts, someSegment, temporaryFolder, writeSmallSnapshot } from '../../support/gsp.js';
import { mountSmallDisk } from '../../support/small-disk.js';

const BAD = { name: 'GospyError', exitCode: ExitCode.badFile };

t.test('gsp writer: only the owner can read the file', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  writeFileSync(path, 'something else', { mode: 0o644 });
  await writeSmallSnapshot(path);
  t.equal(statSync(path).mode & 0o7777, 0o600);
});

t.test('gsp writer: an existing file is replaced in one step', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'a.gsp');
  const other = join(folder, 'other-name-of-the-old-file');
  writeFileSync(path, 'old');
  linkSync(path, other);
  await writeSnapshot(path, {
    image: someFacts(),
    memory: (function* () {
      yield [someSegment(random(1), 0x1000, 3_000_000)];
      t.equal(readFileSync(path, 'utf8'), 'old', 'the old file stays while the new one is written');
      t.equal(readdirSync(folder).length, 3, 'the new one is in the same folder');
    })(),
  });
  openSnapshot(path).close();
  t.equal(readFileSync(other, 'utf8'), 'old', 'the old file was not written to');
  t.strictSame(readdirSync(folder).sort(), ['a.gsp', 'other-name-of-the-old-file']);
});

t.test('gsp writer: a symbolic link is replaced and not followed', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'precious'), 'precious');
  symlinkSync('precious', join(folder, 'a.gsp'));
  await writeSmallSnapshot(join(folder, 'a.gsp'));
  t.equal(readFileSync(join(folder, 'precious'), 'utf8'), 'precious');
  openSnapshot(join(folder, 'a.gsp')).close();
});

t.test('gsp writer: an impossible output path is refused, and no file is left', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'file'), '');
  const outputs: Record<string, RegExp> = {
    [join(folder, 'sub')]: /it is a folder/,
    [join(folder, 'none', 'a.gsp')]: /no such file or folder/,
    [join(folder, 'file', 'a.gsp')]: /not a folder/,
    [join(folder, 'x'.repeat(300))]: /too long/,
    '/dev/null': /not a regular file/,
    '': /empty/,
  };
  for (const [path, message] of Object.entries(outputs)) {
    t.throws(() => checkOutput(path), { ...BAD, message }, path);
    await t.rejects(writeSmallSnapshot(path), { ...BAD, message }, path);
  }
  t.strictSame(readdirSync(folder).sort(), ['file', 'sub']);
  t.strictSame(readdirSync(join(folder, 'sub')), []);
});

t.test('gsp writer: a folder without write permission is refused', async (t) => {
  const folder = temporaryFolder(t);
  chmodSync(folder, 0o555);
  const asRoot = process.geteuid?.() === 0;
  if (asRoot) process.seteuid?.(65534);
  try {
    await t.rejects(writeSmallSnapshot(join(folder, 'a.gsp')), { ...BAD, message: /permission denied/ });
  } finally {
    if (asRoot) process.seteuid?.(0);
    chmodSync(folder, 0o700);
  }
  t.strictSame(readdirSync(folder), []);
});

const smallDisk = mountSmallDisk('256k');

t.test('gsp writer: on a full disk the write fails, and the old file stays', { skip: smallDisk.refused }, async (t) => {
  t.teardown(smallDisk.remove);
  const path = join(smallDisk.path, 'a.gsp');
  writeFileSync(path, 'old');
  const memory = [[someSegment(random(2), 0x1000, 2_000_000)]];
  await t.rejects(writeSnapshot(path, { image: someFacts(), memory }), { ...BAD, message: /no space is left/ });
  t.strictSame(readdirSync(smallDisk.path), ['a.gsp']);
  t.equal(readFileSync(path, 'utf8'), 'old');
});

t.test('gsp writer: an interrupted write leaves no file', async (t) => {
  const folder = temporaryFolder(t);
  const controller = new AbortController();
  function* memory(): Generator<Segment[]> {
    for (let i = 0; ; i++) {
      if (i === 10) controller.abort();
      yield [someSegment(random(i), 0x10000 * (i + 1), 1000)];
    }
  }
  const writing = writeSnapshot(
    join(folder, 'a.gsp'),
    { image: someFacts(), memory: memory() },
    { signal: controller.signal },
  );
  await t.rejects(writing, { name: 'GospyError', exitCode: ExitCode.interrupted });
  t.strictSame(readdirSync(folder), []);
});

t.test('gsp writer: an error thrown by the given memory is passed on, and no file is left', async (t) => {
  const folder = temporaryFolder(t);
  function* memory(): Generator<Segment[]> {
    yield [someSegment(random(1), 0x1000, 100)];
    throw new RangeError('mine');
  }
  await t.rejects(writeSnapshot(join(folder, 'a.gsp'), { image: someFacts(), memory: memory() }), {
    name: 'RangeError',
    message: 'mine',
  });
  t.strictSame(readdirSync(folder), []);
});

t.test('gsp writer: a signal handler can remove unfinished files', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'a.gsp');
  function* memory(): Generator<Segment[]> {
    yield [someSegment(random(1), 0x1000, 100)];
    t.equal(readdirSync(folder).length, 1);
    removeUnfinished();
    t.strictSame(readdirSync(folder), []);
  }
  await t.rejects(writeSnapshot(path, { image: someFacts(), memory: memory() }), BAD);
  t.notOk(existsSync(path));
  t.strictSame(readdirSync(folder), []);
});

import { copyFileSync, readFileSync, readdirSync, readlinkSync, realpathSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import tap, { test } from 'tap';
import {
  listThreads,
  liveThread,
  parseMaps,
  parseStat,
  readExecutable,
  readHostFacts,
  readMappings,
  readStatus,
  readThreads,
} from '../../capture/process/procfs.js';
import { NO_PID, Target, buildC, thrownBy, threadStates, until } from './targets.js';

const programs = buildC();
tap.teardown(() => programs.remove());

test('procfs: names that look like the fields after them', (t) => {
  const rest = '1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0';
  for (const name of ['a) Z 1 (b', ') S (', '', 'two words', 'line\nend', '((((', 'R R R']) {
    t.match(parseStat(`42 (${name}) S ${rest}\n`), { name, state: 'S', kernelThread: false });
  }
  t.equal(parseStat('2 (kthreadd) S 0 0 0 0 -1 2129984 0').kernelThread, true);
  t.match(parseStat(''), { name: '', state: '?' });
  t.end();
});

test('procfs: threads of a program that gave itself a misleading name', async (t) => {
  const target = await Target.start(programs.c, 'named', ') R 1 (x');
  t.teardown(() => target.end());
  await until(() => threadStates(target.pid).every((state) => state === 'S'));
  const threads = readThreads(target.pid);
  t.strictSame(
    threads.map(({ tid }) => tid),
    readdirSync(`/proc/${target.pid}/task`).map(Number),
  );
  for (const { tid, name, namespaceTid } of threads) {
    t.equal(`${name}\n`, readFileSync(`/proc/${target.pid}/task/${tid}/comm`, 'utf8'));
    t.equal(namespaceTid, tid);
  }
  t.ok(threads.some(({ name }) => name === ') R 1 (x'));
});

test('procfs: parses the lines of maps', (t) => {
  const text = [
    '00400000-00401000 r-xp 00001000 08:01 42                         /bin/with  two spaces',
    '00401000-00402000 rw-s 00000000 08:01 42                         /bin/line\\012end',
    '00402000-00403000 ---p 00000000 00:00 0 ',
    '00403000-00404000 rw-p 00000000 00:00 0                          [heap]',
    '00404000-00405000 r--p 7fffffffffff 08:01 42                     /bin/gone (deleted)',
    'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]',
    '00406000-00405000 r--p 00000000 00:00 0 ',
    'nonsense',
    '',
  ].join('\n');
  const seen = parseMaps(text).map((m) => [m.start, m.end, m.readable, m.writable, m.executable, m.fileOffset, m.path]);
  t.strictSame(seen, [
    [0x400000, 0x401000, true, false, true, 0x1000, '/bin/with  two spaces'],
    [0x401000, 0x402000, true, true, false, 0, '/bin/line\nend'],
    [0x402000, 0x403000, false, false, false, 0, ''],
    [0x403000, 0x404000, true, true, false, 0, '[heap]'],
    [0x404000, 0x405000, true, false, false, 0x7fffffffffff, '/bin/gone'],
  ]);
  t.end();
});

test('procfs: the executable is found under any name, deleted or not', async (t) => {
  for (const name of ['with two  words', 'line\nend', 'is not (deleted)', 'gone', 'gone (deleted)']) {
    const path = join(realpathSync(programs.folder), name);
    copyFileSync(programs.c, path);
    const target = await Target.start(path, 'sleepers', '1');
    t.teardown(() => target.end());
    const deleted = name.startsWith('gone');
    if (deleted) rmSync(path);
    const sizeBytes = statSync(programs.c).size;
    t.strictSame(readExecutable(target.pid, target.pid), { path, deleted, sizeBytes }, JSON.stringify(name));
    t.equal(readlinkSync(`/proc/${target.pid}/exe`).endsWith(' (deleted)'), deleted || name === 'is not (deleted)');
    const mapped = readMappings(target.pid, target.pid).some((mapping) => mapping.path === path);
    t.ok(mapped || name.endsWith(' (deleted)'), 'its mappings have its name');
  }
});

test('procfs: a process whose first thread has ended is read through another', async (t) => {
  const target = await Target.start(programs.c, 'leaderless');
  t.teardown(() => target.end());
  await until(() => threadStates(target.pid)[0] === 'Z');
  const tid = liveThread(target.pid);
  t.not(tid, target.pid);
  t.ok(listThreads(target.pid).includes(tid));
  t.strictSame(readMappings(target.pid, target.pid), []);
  t.ok(readMappings(target.pid, tid).some(({ path, executable }) => executable && path === realpathSync(programs.c)));
  t.equal(readExecutable(target.pid, tid).path, realpathSync(programs.c));
});

test('procfs: ids in another pid namespace', async (t) => {
  const target = Target.spawn('unshare', '--pid', '--fork', '--kill-child', programs.c, 'sleepers', '2');
  t.teardown(() => target.end());
  while ((await target.line()) !== 'ready');
  const [inner = 0] = readFileSync(`/proc/${target.pid}/task/${target.pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .map(Number);
  t.strictSame(readStatus(inner).namespacePids, [inner, 1]);
  t.strictSame(readHostFacts(inner).namespacePids, [inner, 1]);
  // The first process of a namespace, with its threads, counts from 1.
  t.strictSame(
    readThreads(inner).map(({ namespaceTid }) => namespaceTid),
    [1, 2, 3, 4, 5],
  );
});

test('procfs: reports that there is no such process', (t) => {
  for (const read of [readStatus, readThreads, listThreads, liveThread, readHostFacts]) {
    t.match(
      thrownBy(() => read(NO_PID)),
      { exitCode: 3, message: `There is no process ${NO_PID}.` },
    );
  }
  t.end();
});

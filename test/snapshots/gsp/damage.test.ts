import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ExitCode, GospyError } from '../../../snapshots/errors.js';
import { openSnapshot, type Snapshot } from '../../../snapshots/gsp/read.js';
import { verifySnapshot } from '../../../snapshots/gsp/verify.js';
import { MemoryFault, type Segment } from '../../../snapshots/memory.js';
import { someFacts, temporaryFolder, writeSmallSnapshot } from '../../support/gsp.js';

t.test('gsp: a flipped byte is detected, wherever it is', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const segments = await writeSmallSnapshot(path);
  const whole = readFileSync(path);
  const wrong: string[] = [];
  let faults = 0;
  for (let at = 0; at < whole.length; at++) {
    for (const flip of [0x01, 0x80]) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      writeFileSync(path, bytes);
      const seen = outcomeOf(path, segments);
      if (seen === 'fault') faults++;
      else if (seen !== 'bad file') wrong.push(`byte ${at} ^ ${flip}: ${seen}`);
      if (verifies(path)) wrong.push(`byte ${at} ^ ${flip}: verified as whole`);
    }
  }
  t.strictSame(wrong, []);
  t.ok(faults > 500, `${faults} flips lay in memory sections`);
});

t.test('gsp: a file cut short anywhere is reported as truncated, with the number of missing bytes', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  await writeSmallSnapshot(path);
  const whole = readFileSync(path);
  const headerLength = verifySnapshot(path).sections[0]?.storedBytes ?? 0;
  const wrong: string[] = [];
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    const error = errorOf(() => openSnapshot(path));
    if (!(error instanceof GospyError) || error.exitCode !== ExitCode.badFile)
      wrong.push(`${length}: ${String(error)}`);
    else if (length >= headerLength && !error.message.includes(`${whole.length - length} are missing`)) {
      wrong.push(`${length}: ${error.message}`);
    }
  }
  t.strictSame(wrong, []);

  writeFileSync(path, whole.subarray(0, whole.length - 10));
  const check = verifySnapshot(path);
  t.equal(check.ok, false);
  t.equal(check.formatVersion, 1);
  t.equal(check.writer, '0.1.0');
  t.match(check.problems, [/truncated: it has \d+ of \d+ bytes, 10 are missing/]);
});

t.test('gsp: bytes after the end are reported', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  await writeSmallSnapshot(path);
  const size = statSync(path).size;
  writeFileSync(path, 'xyz', { flag: 'a' });
  t.throws(() => openSnapshot(path), { exitCode: ExitCode.badFile, message: `3 bytes follow its end at ${size}` });
});

t.test('gsp: a damaged memory section is absent with the reason, the rest is readable', async (t) => {
  const path = join(temporaryFolder(t), 'a.gsp');
  const [globals, , stack] = await writeSmallSnapshot(path);
  if (globals === undefined || stack === undefined) throw new Error('the small snapshot has no such segments');
  const offset = verifySnapshot(path).sections.find(({ name }) => name === 'memory')?.offset ?? 0;
  const bytes = readFileSync(path);
  bytes[offset + 100] = (bytes[offset + 100] ?? 0) ^ 1;
  writeFileSync(path, bytes);

  const snapshot = openSnapshot(path);
  t.teardown(() => snapshot.close());
  t.strictSame(snapshot.damage, [], 'nothing was read yet');
  t.strictSame(snapshot.executable, someFacts().executable);
  t.equal(Buffer.compare(snapshot.memory.bytes(stack.addr, stack.bytes.length), stack.bytes), 0);
  t.throws(() => snapshot.memory.u8(globals.addr), {
    name: 'MemoryFault',
    message: new RegExp(`memory section at offset ${offset}.*SHA-256`),
  });
  t.equal(snapshot.damage.length, 1);
  t.match(snapshot.damage[0], /memory section/);
  t.strictSame(
    [...snapshot.memory.ranges(globals.addr, stack.addr)].map(({ lo }) => lo),
    [0xc000001000],
    'a section known to be damaged is not listed',
  );
  const check = verifySnapshot(path);
  t.equal(check.ok, false);
  t.equal(check.problems.length, 1);
  t.not(check.facts, null);
});

t.test('gsp: a file that is not a snapshot is refused as such', (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'a.gsp');
  for (const [content, message] of [
    ['', /not a gospy snapshot/],
    ['hello\n', /not a gospy snapshot/],
    ['\x84\xa6format\xa5other', /not a gospy snapshot/],
  ] as const) {
    writeFileSync(path, content, 'latin1');
    for (const read of [openSnapshot, verifySnapshot]) {
      t.throws(() => read(path), { exitCode: ExitCode.badFile, message }, JSON.stringify(content));
    }
  }
  t.throws(() => openSnapshot(folder), { exitCode: ExitCode.badFile, message: /a folder/ });
  t.throws(() => openSnapshot('/dev/null'), { exitCode: ExitCode.badFile, message: /not a regular file/ });
  t.throws(() => openSnapshot(join(folder, 'none')), { exitCode: ExitCode.badFile, message: /no such file/ });
  t.end();
});

/** Reads everything in the file. Returns 'bad file', 'fault' or 'whole', or what is wrong with the result. */
function outcomeOf(path: string, segments: readonly Segment[]): string {
  let snapshot: Snapshot;
  try {
    snapshot = openSnapshot(path);
  } catch (error) {
    return error instanceof GospyError && error.exitCode === ExitCode.badFile ? 'bad file' : String(error);
  }
  try {
    return readAll(snapshot, segments);
  } finally {
    snapshot.close();
  }
}

function readAll(snapshot: Snapshot, segments: readonly Segment[]): string {
  let outcome = 'whole';
  for (const { addr, bytes } of segments) {
    try {
      const got = snapshot.memory.bytes(addr, bytes.length);
      if (Buffer.compare(got, bytes) !== 0) return 'wrong memory';
    } catch (error) {
      if (!(error instanceof MemoryFault)) return String(error);
      outcome = 'fault';
    }
  }
  const facts = someFacts();
  const same =
    snapshot.executable.path === facts.executable.path && snapshot.capture.monotonicNs === facts.capture.monotonicNs;
  return same ? outcome : 'wrong facts';
}

function verifies(path: string): boolean {
  try {
    return verifySnapshot(path).ok;
  } catch (error) {
    if (error instanceof GospyError && error.exitCode === ExitCode.badFile) return false;
    throw error;
  }
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
    return null;
  } catch (error) {
    return error;
  }
}

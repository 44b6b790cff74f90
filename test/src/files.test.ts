import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { temporaryFolder, writeSmallSnapshot } from '../support/gsp.js';
import { gospyHere } from './gospy-here.js';

const folder = temporaryFolder(t);

/** Checks that all commands refuse `path` with exit code 5, one paragraph that matches `words`, and no data. */
async function refuses(t: Test, path: string, ...words: RegExp[]): Promise<void> {
  for (const args of [
    ['summary', path],
    ['summary', path, '--json'],
    ['info', path],
  ]) {
    const { code, stdout, stderr } = await gospyHere(args);
    t.equal(code, 5, `${args.join(' ')}: exit code`);
    if (args[0] === 'summary') t.equal(stdout, '', `${args.join(' ')}: standard output`);
    for (const word of words) t.match(stderr, word, `${args.join(' ')}: message`);
    t.equal(stderr.split('\n').length, 2, `${args.join(' ')}: one paragraph`);
  }
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

t.test('files: a file that is not a snapshot is called what it is', async (t) => {
  await refuses(t, join(folder, 'none.gsp'), /none\.gsp/, /no such file/);
  await refuses(t, folder, /a folder/);
  await refuses(t, '/dev/null', /a device/);
  await refuses(t, file('empty.gsp', ''), /an empty file/);
  await refuses(t, file('text.gsp', 'goroutine 1 [running]:\n'), /a text file/);
  await refuses(t, file('packed.gsp', gzipSync('x')), /gzip/, /gunzip/);
  await refuses(t, process.execPath, /ELF/);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await refuses(t, pipe, /a pipe/);
});

t.test('files: a snapshot that lost its end says how much is missing', async (t) => {
  const whole = join(folder, 'whole.gsp');
  await writeSmallSnapshot(whole);
  const bytes = readFileSync(whole);
  const cut = file('cut.gsp', bytes.subarray(0, bytes.length - 100));
  await refuses(t, cut, /truncated/, /100 are missing/);
});

t.test('files: a flipped bit in the header is reported', async (t) => {
  const whole = join(folder, 'whole.gsp');
  await writeSmallSnapshot(whole);
  const bytes = readFileSync(whole);
  bytes.writeUInt8((bytes[40] ?? 0) ^ 1, 40);
  await refuses(t, file('flipped.gsp', bytes), /damaged/);
});

t.test('info: a whole snapshot without a Go program in it is whole', async (t) => {
  const path = join(folder, 'whole.gsp');
  await writeSmallSnapshot(path);
  const text = await gospyHere(['info', path]);
  t.equal(text.code, 0);
  t.match(text.stdout, /every checksum is right/);
  const json = await gospyHere(['info', path, '--json']);
  t.equal(json.code, 0);
  t.match(JSON.parse(json.stdout), { schema: 'gospy.info/1', kind: 'snapshot', ok: true, problems: [], target: null });
});

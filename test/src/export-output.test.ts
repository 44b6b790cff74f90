import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryFolder } from '../support/gsp.js';
import { mountSmallDisk } from '../support/small-disk.js';
import { gospyHere } from './gospy-here.js';
import { GOSPY, gospy, interruptedAt } from './gospy-process.js';

/** What is left where output cannot be written, for each format. */

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const QUEUE = join(SAMPLES, 'queue.gsp');
const STREAMED = ['pprof', 'folded', 'speedscope', 'traceback', 'json', 'ndjson', 'dot', 'html'];
const SQL = 'SELECT * FROM goroutines';

/** Every command that writes a file of its own, without the name of the file. */
const COMMANDS: readonly (readonly string[])[] = [
  ...[...STREAMED, 'parquet', 'core'].map((format) => ['export', QUEUE, '--format', format]),
  ...['table', 'csv', 'json', 'ndjson', 'parquet'].map((format) => ['query', SQL, QUEUE, '--format', format]),
];
const DATASET = ['export', QUEUE, '--format', 'parquet', '--partition-by', 'service,date,host'];

const disk = mountSmallDisk('64k');

t.test(
  'output: on a full disk there is an error, the old file stays, and nothing else',
  { skip: disk.refused },
  async (t) => {
    t.teardown(disk.remove);
    const path = join(disk.path, 'out');
    writeFileSync(path, 'old');
    const { bsize, bavail } = statfsSync(disk.path);
    writeFileSync(join(disk.path, 'filler'), Buffer.alloc(bsize * bavail, 1));
    const left = readdirSync(disk.path);
    for (const command of COMMANDS) {
      const what = command.filter((arg) => arg !== SQL && arg !== QUEUE).join(' ');
      const { code, stdout, stderr } = await gospyHere([...command, '-o', path]);
      t.same([code, stdout], [5, ''], what);
      t.match(stderr, /^gospy (?:export|query): .*no space is left on the disk.*\n$/, what);
      t.same(readdirSync(disk.path), left, what);
      t.equal(readFileSync(path, 'utf8'), 'old', what);
    }
    for (const folder of ['dataset', 'deep/dataset']) {
      t.match(await gospyHere([...DATASET, '-o', join(disk.path, folder)]), { code: 5, stderr: /no space is left/ });
      t.same(readdirSync(disk.path), left, 'no folder of a data set without files');
    }
    const kept = join(disk.path, 'kept');
    mkdirSync(join(kept, 'service=queue'), { recursive: true });
    t.match(await gospyHere([...DATASET, '-o', kept]), { code: 5 });
    t.same(readdirSync(kept, { recursive: true }), ['service=queue'], 'folders that were there stay');
  },
);

t.test('output: files are for their owner alone, in every format', async (t) => {
  const folder = temporaryFolder(t);
  for (const [i, command] of COMMANDS.entries()) {
    const path = join(folder, String(i));
    t.equal((await gospyHere([...command, '-o', path])).code, 0);
    t.equal(statSync(path).mode & 0o777, 0o600, command.filter((arg) => arg !== SQL && arg !== QUEUE).join(' '));
  }
  const dataset = join(folder, 'dataset');
  t.equal((await gospyHere([...DATASET, '-o', dataset])).code, 0);
  const files = readdirSync(dataset, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.parquet'));
  t.same(
    files.map((path) => statSync(join(dataset, path)).mode & 0o777),
    [0o600],
  );
});

t.test('output: a data set that is interrupted leaves no folder', async (t) => {
  const folder = temporaryFolder(t);
  t.match(await interruptedAt('file', 'SIGTERM', [...DATASET, '-o', join(folder, 'deep', 'dataset')]), { code: 130 });
  t.same(readdirSync(folder), []);
});

t.test('output: of several captures, those before one that cannot be read are in the data set', async (t) => {
  const folder = temporaryFolder(t);
  const [bad, dataset] = [join(folder, 'bad.gsp'), join(folder, 'dataset')];
  writeFileSync(bad, readFileSync(QUEUE).subarray(0, 5000));
  const args = ['export', QUEUE, bad, ...DATASET.slice(2), '-o', dataset];
  t.match(await gospyHere(args), { code: 5, stderr: /bad\.gsp/ });
  const paths = readdirSync(dataset, { recursive: true, encoding: 'utf8' }).map((path) => join(dataset, path));
  const files = paths.filter((path) => statSync(path).isFile());
  t.equal(files.length, 1);
  t.match(files[0], /\/gospy-[0-9a-f]{24}\.parquet$/);
  const { stdout } = await gospyHere(['query', 'SELECT count(*) FROM goroutines', dataset, '--format', 'csv']);
  t.match(stdout, /\n27\n$/);
});

for (const format of STREAMED) {
  t.test(`export ${format}: standard output on a full disk is exit code 5, a closed pipe no failure`, async (t) => {
    const args = ['export', QUEUE, '--format', format];
    const { code, stderr } = await gospy(args, { stdoutPath: '/dev/full' });
    t.equal(code, 5);
    t.match(stderr, /^gospy export: .*standard output.*no space is left on the disk\.\n$/);
    const child = spawn(process.execPath, [GOSPY, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    const closed = once(child, 'close');
    t.equal(await text(child.stderr), '');
    await closed;
    t.equal(child.exitCode, 0);
  });
}

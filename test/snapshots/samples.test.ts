import { readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir, hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { addr } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';

const FOLDER = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const MOST_BYTES = 300_000;
const MOST_BYTES_IN_ALL = 2_000_000;
const samples = readdirSync(FOLDER).filter((name) => name !== 'README.md');

/** All that can be read in a sample: its facts as they are in the file, and its memory. */
function contentOf(sample: string): string {
  const path = join(FOLDER, sample);
  if (sample.endsWith('.gz')) return gunzipSync(readFileSync(path)).toString('latin1');
  const image = openSnapshot(path);
  const { host, executable, mappings, threads, memory } = image;
  const facts = JSON.stringify([host, executable, mappings, threads.map(({ name }) => name)]);
  const parts = [...memory.ranges(addr(0), addr(2 ** 47 - 1))].map(({ lo, hi }) =>
    Buffer.from(memory.bytes(lo, hi - lo)).toString('latin1'),
  );
  image.close();
  return [facts, ...parts].join('\n');
}

t.test('samples: the README has a line for each', (t) => {
  const readme = readFileSync(join(FOLDER, 'README.md'), 'utf8');
  const listed = [...readme.matchAll(/^\| `([^`]+)`/gm)].map(([, name = '']) => name);
  t.same(listed.sort(), [...samples].sort());
  t.end();
});

t.test('samples: are small', (t) => {
  const sizes = samples.map((name) => statSync(join(FOLDER, name)).size);
  for (const [i, size] of sizes.entries()) t.ok(size < MOST_BYTES, `${samples[i] ?? ''} has ${size} bytes`);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  t.ok(total < MOST_BYTES_IN_ALL, `${total} bytes in all`);
  t.end();
});

for (const sample of samples) {
  t.test(`samples: ${sample} says nothing of the machine that it was made on`, (t) => {
    const content = contentOf(sample);
    for (const word of [
      homedir(),
      process.cwd(),
      '/root',
      '/home/',
      'HOME=',
      'USER=',
      'PWD=',
      `/${userInfo().username}/`,
    ]) {
      t.notOk(content.includes(word), word);
    }
    if (hostname().length > 3) t.notOk(content.includes(hostname()), 'host name');
    if (sample.endsWith('.gsp')) t.ok(/"hostname":"(host)?","kernel":"(6\.1\.0)?"/.test(content), 'a neutral host');
    t.end();
  });
}

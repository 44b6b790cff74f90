import { closeSync, openSync, readdirSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { addr } from '../../snapshots/address.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { Binary } from '../../src/targets/binary.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { readelfBuildId, readelfGoBuildId } from '../support/readelf.js';
import { manyArm64, type Cell } from '../support/releases.js';
import { gospy } from './gospy-process.js';

const MANY: Cell = { fixture: 'many', release: '1.26', link: 'stripped' };

/** `12 - waiting for chan receive: main.receiver (…)` and the like: the goroutines that never move. */
function parkedLines(stdout: string): string[] {
  return stdout.split('\n').filter((line) => /^\d+ - waiting for (chan|select).*: main\./.test(line));
}

t.test('--bin: the executable, and a build of the same source with symbols, are taken', async (t) => {
  if (!requireGo(t)) return;
  const folder = temporaryFolder(t);
  const path = await buildGo(MANY);
  const { pid } = await startGo(t, path, { args: ['-n', '20'] });
  const snapshot = join(folder, 'snap.gsp');
  const without = join(folder, 'without.gsp');
  t.match(await gospy(['capture', '--pid', `${pid}`, '-o', without]), { code: 0 });
  const expected = parkedLines((await gospy(['summary', without])).stdout);
  t.equal(expected.length, 20);
  for (const bin of [path, await buildGo({ ...MANY, link: 'plain' })]) {
    t.match(await gospy(['capture', '--pid', `${pid}`, '--bin', bin, '-o', snapshot]), { code: 0 });
    for (const target of [['--pid', `${pid}`], [snapshot]]) {
      const { code, stdout } = await gospy(['summary', ...target, '--bin', bin]);
      t.equal(code, 0);
      t.same(parkedLines(stdout), expected);
    }
  }
});

t.test('--bin: another program is refused, with the build ids of both', async (t) => {
  if (!requireGo(t)) return;
  const folder = temporaryFolder(t);
  const path = await buildGo(MANY);
  const other = await buildGo({ ...MANY, fixture: 'busy' });
  const { pid } = await startGo(t, path, { args: ['-n', '5'] });
  const snapshot = join(folder, 'snap.gsp');
  t.match(await gospy(['capture', '--pid', `${pid}`, '-o', snapshot]), { code: 0 });
  const refused = join(folder, 'refused.gsp');
  const commands = [
    ['summary', snapshot],
    ['summary', '--pid', `${pid}`],
    ['capture', '--pid', `${pid}`, '-o', refused],
    ['capture', '--pid', `${pid}`, '--mode', 'live', '-o', refused],
  ];
  for (const command of commands) {
    const { code, stdout, stderr } = await gospy([...command, '--bin', other]);
    t.match({ code, stdout }, { code: 5, stdout: '' }, command.join(' '));
    for (const file of [path, other]) {
      t.match(stderr, `${file} ha`);
      t.match(stderr, `Go ${readelfGoBuildId(file) ?? 'none'} and GNU ${readelfBuildId(file) ?? 'none'}`);
    }
  }
  t.same(readdirSync(folder), ['snap.gsp'], 'nothing is left behind');
});

t.test('--bin: a file that is not an executable is refused', async (t) => {
  if (!requireGo(t)) return;
  const folder = temporaryFolder(t);
  const { pid } = await startGo(t, await buildGo(MANY), { args: ['-n', '5'] });
  const refusal = (bin: string): Promise<unknown> => gospy(['summary', '--pid', `${pid}`, '--bin', bin]);
  const text = join(folder, 'text');
  writeFileSync(text, 'not a program\n');
  t.match(await refusal(text), { code: 5, stdout: '', stderr: `${text} is not an ELF file` });
  t.match(await refusal(join(folder, 'missing')), { code: 5, stdout: '' });
  t.match(await refusal(folder), { code: 5, stdout: '' });
  t.match(await refusal('/bin/sh'), { code: 5, stdout: '', stderr: 'it has no Go function table' });
  const arm64 = await buildGo(manyArm64('1.26', 'plain'));
  t.match(await refusal(arm64), { code: 5, stdout: '', stderr: 'it is for arm64, and the target runs on amd64' });
  const narrow = join(folder, 'narrow');
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x01\x01\x01');
  writeFileSync(narrow, header);
  t.match(await refusal(narrow), { code: 6, stdout: '' });
  const both = await gospy(['summary', 'x.gsp', '--pid', `${pid}`, '--bin', join(folder, 'missing')]);
  t.match(both, { code: 2 }, 'a wrong command line comes first');
});

t.test('--bin: only the very same executable lends the constant memory that a snapshot lacks', async (t) => {
  if (!requireGo(t)) return;
  for (const link of ['stripped', 'stripped-pie'] as const) {
    const park: Cell = { fixture: 'park', release: '1.26', link };
    const path = await buildGo(park);
    const { pid } = await startGo(t, path);
    const snapshot = join(temporaryFolder(t), 'snap.gsp');
    t.match(await gospy(['capture', '--pid', `${pid}`, '-o', snapshot]), { code: 0 });
    const image = openSnapshot(snapshot);
    t.teardown(() => image.close());
    const program = openProgram(image);
    const { text = addr(0), etext = addr(0) } = program.code.modules[0]?.module ?? {};
    const live = Buffer.alloc(etext - text);
    const memory = openSync(`/proc/${pid}/mem`, 'r');
    readSync(memory, live, 0, live.length, text);
    closeSync(memory);

    t.notOk(program.memory.has(text, live.length), `${link}: the snapshot lacks some of the code`);
    const same = new Binary(path);
    const symbols = new Binary(await buildGo({ ...park, link: link === 'stripped' ? 'plain' : 'pie' }));
    t.teardown(() => {
      same.close();
      symbols.close();
    });
    const [under] = same.lendTo([program]);
    t.equal(Buffer.compare(under.memory.bytes(text, live.length), live), 0, `${link}: all of the code, as in memory`);
    t.same(
      [...under.goroutines()].map(({ goid }) => goid),
      [...program.goroutines()].map(({ goid }) => goid),
    );
    t.notOk(symbols.lendTo([program])[0].memory.has(text, live.length), `${link}: another build lends nothing`);
  }
});

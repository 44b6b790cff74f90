import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { gospy } from './gospy-process.js';

const COMMANDS = ['capture', 'summary', 'info', 'doctor', 'demo'];

/** One paragraph on standard error that begins with the command and names `value`; nothing on standard output. */
async function refuses(t: Test, args: readonly string[], value: string): Promise<void> {
  const { code, stdout, stderr } = await gospy(args);
  const line = args.join(' ');
  t.equal(code, 2, `gospy ${line}: exit code`);
  t.equal(stdout, '', `gospy ${line}: standard output`);
  t.ok(stderr.startsWith('gospy') && stderr.includes(value), `gospy ${line}: ${stderr}`);
  t.equal(stderr.split('\n').length, 2, `gospy ${line}: one line`);
  t.notMatch(stderr, /\n\s+at /, `gospy ${line}: no stack`);
}

t.test('--version: prints the version of package.json', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  t.match(await gospy(['--version']), { code: 0, stdout: `gospy ${version}\n`, stderr: '' });
  t.match(await gospy(['-V']), { code: 0, stdout: `gospy ${version}\n`, stderr: '' });
});

t.test('--help: names every command', async (t) => {
  const { code, stdout, stderr } = await gospy(['--help']);
  t.equal(code, 0);
  t.equal(stderr, '');
  for (const name of COMMANDS) t.match(stdout, new RegExp(`^  ${name} +(\\[|-|FILE|the|what|stops|how)`, 'm'), name);
});

for (const name of COMMANDS) {
  t.test(`${name} --help: says what it does, its options, and two examples`, async (t) => {
    const { code, stdout, stderr } = await gospy([name, '--help']);
    t.equal(code, 0);
    t.equal(stderr, '');
    t.match(stdout, new RegExp(`^Usage: gospy ${name}`));
    t.match(stdout, /^Usage: .*\n\n[A-Z][^]*\.\n/, 'a description');
    t.match(stdout, /^Options:\n/m);
    const examples = stdout.split('\nExamples:\n')[1] ?? '';
    t.equal(examples.split('\n').filter((line) => line.startsWith(`  gospy ${name}`)).length, 2, 'two examples');
    t.equal((await gospy(['help', name])).stdout, stdout);
  });
}

t.test('usage: a value that an option does not take is named', async (t) => {
  await refuses(t, ['summary', 'x.gsp', '--pc', 'odd'], "'odd'");
  for (const limit of ['-3', '1.5', 'many', '', '1e3', '0x10']) {
    await refuses(t, ['summary', 'x.gsp', '--limit', limit], `'${limit}'`);
  }
  for (const pid of ['-1', '0', '1.5', 'init', '4294967296', '']) {
    await refuses(t, ['summary', '--pid', pid], `'${pid}'`);
    await refuses(t, ['capture', '-o', 'x.gsp', '--pid', pid], `'${pid}'`);
  }
  await refuses(t, ['capture', '--pid', '1', '-o', 'x.gsp', '--mode', 'odd'], "'odd'");
  await refuses(t, ['doctor', '--pid', 'odd'], "'odd'");
});

t.test('usage: exactly one target', async (t) => {
  await refuses(t, ['summary'], '--pid');
  await refuses(t, ['summary', 'x.gsp', '--pid', '1'], 'x.gsp');
  await refuses(t, ['summary', 'x.gsp', 'y.gsp'], 'too many arguments');
  await refuses(t, ['info'], 'FILE');
});

t.test('usage: what capture needs', async (t) => {
  await refuses(t, ['capture', '--pid', '1'], '--output');
  await refuses(t, ['capture', '-o', 'x.gsp'], '--pid');
  await refuses(t, ['capture', '--pid', '1', '-o', 'x.gsp', '--mode', 'stop', '--non-blocking'], '--non-blocking');
});

t.test('usage: unknown commands and options', async (t) => {
  await refuses(t, [], '--help');
  await refuses(t, ['sumary'], "'sumary'");
  await refuses(t, ['toString'], "'toString'");
  await refuses(t, ['summary', '--colour'], "'--colour'");
});

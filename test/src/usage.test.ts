import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { gospyHere } from './gospy-here.js';
import { gospy } from './gospy-process.js';

const DOCS = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8');
const [, DOCUMENTED_COMMANDS = ''] = DOCS.split(/^## /m).filter((part) => /^(Targets|Commands)\n/.test(part));

/** Mandatory options: without them, a command complains about nothing else. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  capture: ['-o', 'x.gsp'],
  export: ['--format', 'core', '-o', 'x.core'],
};

/** The commands that `gospy --help` lists. */
const HELP = await gospyHere(['--help']);
const COMMANDS = [...(HELP.stdout.split('\nCommands:\n')[1] ?? '').matchAll(/^ {2}(\w+)/gm)]
  .map(([, name = '']) => name)
  .filter((name) => name !== 'help');

/** Checks that gospy refuses `args`: one line on standard error that names `value`, nothing on standard output. */
async function refuses(t: Test, args: readonly string[], value: string): Promise<void> {
  const { code, stdout, stderr } = await gospyHere(args);
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

t.test('usage: the process writes what it says to the right streams', async (t) => {
  t.same(await gospy(['--help']), HELP);
  t.match(await gospy(['sumary']), { code: 2, stdout: '', stderr: "gospy sumary: unknown command 'sumary'" });
});

t.test('--help: has the commands that the documentation has', (t) => {
  t.match(HELP, { code: 0, stderr: '' });
  const [intro = ''] = DOCUMENTED_COMMANDS.split('\n### ');
  const table = [...intro.matchAll(/^\| `(\w+)[^`]*` +\|/gm)].map(([, name]) => name);
  t.same([...COMMANDS].sort(), table.sort(), 'the table of commands');
  const sections = [...DOCUMENTED_COMMANDS.matchAll(/^### (\w+)$/gm)].map(([, name = '']) => name);
  t.same([...sections, 'demo'].sort(), [...COMMANDS].sort(), 'a section for each command that has options');
  t.end();
});

for (const name of COMMANDS) {
  t.test(`${name} --help: says what it does, its options, and two examples`, async (t) => {
    const { code, stdout, stderr } = await gospyHere([name, '--help']);
    t.equal(code, 0);
    t.equal(stderr, '');
    t.match(stdout, new RegExp(`^Usage: gospy ${name}`));
    t.match(stdout, /^Usage: .*\n\n[A-Za-z][^]*\.\n/, 'a description');
    t.match(stdout, /^Options:\n/m);
    const examples = stdout.split('\nExamples:\n')[1] ?? '';
    t.equal(examples.split('\n').filter((line) => line.startsWith(`  gospy ${name}`)).length, 2, 'two examples');
    const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, option = '']) => option);
    for (const option of options) if (option !== '--help') t.ok(DOCS.includes(option), `${option} is documented`);
    t.equal((await gospyHere(['help', name])).stdout, stdout);
  });

  t.test(`${name}: refuses an option that it does not have`, async (t) => {
    await refuses(t, [name, ...(REQUIRED[name] ?? []), '--no-such-option'], "'--no-such-option'");
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

t.test('usage: unknown commands', async (t) => {
  await refuses(t, [], '--help');
  await refuses(t, ['sumary'], "'sumary'");
  await refuses(t, ['toString'], "'toString'");
  for (const args of [
    ['sumary', '--help'],
    ['sumary', '-h'],
    ['help', 'sumary'],
    ['sumary', 'x.gsp', '--json'],
  ]) {
    await refuses(t, args, 'Did you mean summary?');
  }
  await refuses(t, ['nosuch', '--help'], '`gospy --help` lists the commands');
  await refuses(t, ['--nosuch'], "'--nosuch'");
  for (const args of [['help'], ['help', '--help'], ['help', 'help'], ['-h']]) {
    t.same(await gospyHere(args), HELP, args.join(' '));
  }
});

t.test('usage: goroutine ids come after the target, which may be a process', async (t) => {
  for (const command of ['stacks', 'explain']) {
    for (const args of [
      ['x.gsp', '0'],
      ['x.gsp', 'one'],
      ['--pid', '2147483647', '17', 'one'],
    ]) {
      await refuses(t, [command, ...args], `'${args.at(-1) ?? ''}' is not a goroutine id`);
    }
    await refuses(t, [command, '--pid', '2147483647', 'x.gsp', '17'], "not both 'x.gsp' and --pid 2147483647");
    t.match(
      await gospyHere([command, '--pid', '2147483647', '17']),
      { code: 3, stdout: '' },
      'there is no such process',
    );
  }
  await refuses(t, ['explain', '--pid', '2147483647'], 'no goroutine is named');
  await refuses(t, ['explain', 'x.gsp'], 'no goroutine is named');
  await refuses(t, ['explain', '--pid', '2147483647', '17', '18'], 'one goroutine at a time');
});

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { gcore } from '../support/cores.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { BROKER_CELL } from '../support/work-cells.js';
import { gospyHere } from './gospy-here.js';
import { documentIn } from './html-page.js';

const PAGE = fileURLToPath(new URL('../../../docs/decoders.md', import.meta.url));
const SAMPLE = fileURLToPath(new URL('../../../snapshots/samples/queue.gsp', import.meta.url));

/** The file that docs/decoders.md shows. */
function example(): { decoders: unknown[] } {
  const [, json = ''] = /```json\n([^]*?)```/.exec(readFileSync(PAGE, 'utf8')) ?? [];
  return JSON.parse(json) as { decoders: unknown[] };
}

/** Decoders of what test/fixtures/broker has of its own. */
const OWN = [
  {
    kind: 'shipping',
    function: 'main.dispatch',
    type: 'interface',
    text: '{name} ships',
  },
  {
    ...{ kind: 'shipping', function: 'main.(*courier).ship', word: 1, type: '*main.order' },
    text: '{ID} for {Balance}, urgent {Urgent}: {Query|sql} at {Path|path}',
  },
  { kind: 'lookup', function: 'main.lookUp', type: 'string', text: '{}' },
  { kind: 'silent', function: 'main.(*courier).ship', type: '*main.courier', text: '{missing}' },
  { kind: 'silent', function: 'main.(*courier).ship', type: '*main.nothing', text: '{name}' },
  { kind: 'silent', function: 'main.(*courier).ship', word: 9, type: '*main.order', text: '{ID}' },
  { kind: 'silent', function: 'main.(*courier).ship', type: 'string', text: '{}' },
];

async function worksOf(
  ...args: readonly string[]
): Promise<{ goid: number; kind: string; text: string; group: string }[]> {
  const { code, stdout, stderr } = await gospyHere(['goroutines', ...args, '--json']);
  if (code !== 0) throw new Error(stderr);
  const { goroutines } = JSON.parse(stdout) as { goroutines: GoroutineWithStack[] };
  return goroutines.flatMap(({ goid, work }) =>
    work
      .filter(({ kind }) => ['kafka', 'shipping', 'lookup', 'silent'].includes(kind))
      .map(({ kind, text, group }) => ({ goid, kind, text, group })),
  );
}

/** What they tell, for `query`. */
const WORK_SQL = `SELECT concat_ws(' ', goid, kind, text) AS line FROM work
  WHERE kind IN ('kafka', 'shipping', 'lookup', 'silent') ORDER BY line`;

/** The lines that a query for them prints. */
async function told(args: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await gospyHere(args);
  if (code !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as { rows: { line: string }[] }).rows.map(({ line }) => line).sort();
}

t.test('decode: decoders of the user tell what the program says, those of the docs too', async (t) => {
  if (!requireGo(t)) return;
  const path = await buildGo(BROKER_CELL);
  const running = await startGo(t, path);
  await untilQuiet(running.pid);
  const folder = temporaryFolder(t);
  const file = join(folder, 'decoders.json');
  writeFileSync(file, JSON.stringify({ decoders: [...example().decoders, ...OWN] }));
  const target = ['--pid', String(running.pid)];
  const said = [...running.stdout.matchAll(/^work (.*)$/gm)].map(([, line = '']) =>
    line.replace(/ \S+ planted-name ships/, ''),
  );
  t.equal(said.length, 4);
  const lines = (works: Awaited<ReturnType<typeof worksOf>>): string[] =>
    works.map(({ goid, kind, text }) => `${goid} ${kind} ${text}`);
  t.strictSame(lines(await worksOf(...target, '--decode', file)).sort(), said.sort(), 'live');
  t.strictSame(await worksOf(...target), [], 'nothing of it without the file');
  const { stdout } = await gospyHere(['stacks', ...target, '--decode', file, '--work', '^kafka: orders/3']);
  t.match(stdout, /^work:\n {2}\d+ {2}kafka: orders\/3\n\ngoroutine \d+ \[/);
  for (const mode of ['live', 'stop']) {
    const args = ['top', ...target, '--once', '--group-by', 'work', '--decode', file, '--mode', mode];
    t.match((await gospyHere(args)).stdout, /^ *2 .*orders\/\{n\}/m, `top, ${mode}`);
  }

  t.strictSame(await told(['query', WORK_SQL, ...target, '--decode', file, '--json']), said, 'query');
  const parquet = join(folder, 'rows.parquet');
  const exported = await gospyHere(['export', ...target, '--format', 'parquet', '-o', parquet, '--decode', file]);
  t.equal(exported.code, 0, exported.stderr);
  t.strictSame(await told(['query', WORK_SQL, parquet, '--json']), said, 'parquet');
  const page = await gospyHere(['export', ...target, '--format', 'html', '--decode', file]);
  const onPage = JSON.stringify(documentIn(page.stdout));
  for (const work of ['kafka: orders/3', 'kafka: orders/4']) t.ok(onPage.includes(work), `${work} is on the page`);

  const snapshot = join(folder, 'snap.gsp');
  for (const level of ['full', 'shape']) {
    const args = ['capture', ...target, '-o', snapshot, '--decode', file, '--values', level];
    t.equal((await gospyHere(args)).code, 0);
    const works = await worksOf(snapshot);
    if (level === 'full') t.strictSame(lines(works).sort(), said, 'a snapshot with all values');
    else {
      t.strictSame(
        works.map(({ kind, text, group }) => `${kind} ${text} | ${group}`).sort(),
        [
          'kafka orders/3 | orders/{n}',
          'kafka orders/4 | orders/{n}',
          'lookup ? | ?',
          'shipping 17 for -5, urgent true: SELECT ? at /orders/17 | {n} for {n}, urgent true: SELECT ? at /orders/{n}',
        ],
        'a snapshot without strings',
      );
    }
  }
  t.match(await gospyHere(['goroutines', snapshot, '--decode', file]), { code: 2, stderr: /is a snapshot/ });
  for (const args of [
    ['query', WORK_SQL],
    ['export', '--format', 'html'],
    ['export', '--format', 'parquet', '-o', parquet],
  ]) {
    t.match(await gospyHere([...args, snapshot, '--decode', file]), { code: 2, stderr: /what its capture decoded/ });
  }
  const both = await told(['query', WORK_SQL, snapshot, ...target, '--decode', file, '--json']);
  t.equal(both.length, 2 * said.length, 'a snapshot has what it has, and a process is decoded');
  t.strictSame(
    both.filter((line) => said.includes(line)),
    said.flatMap((line) => (/ kafka /.test(line) ? [line, line] : [line])),
  );
  const compared = await gospyHere(['export', snapshot, ...target, '--format', 'html', '--decode', file]);
  t.equal(compared.code, 0, compared.stderr);
  const core = await gcore(t, running.pid);
  await running.kill();
  const ofCore = [core, '--bin', path, '--decode', file];
  t.strictSame(lines(await worksOf(...ofCore)).sort(), said, 'core');
  t.strictSame(await told(['query', WORK_SQL, ...ofCore, '--json']), said, 'query of a core');
  t.equal((await gospyHere(['capture', '--core', ...ofCore, '-o', snapshot, '--values', 'full'])).code, 0);
  t.strictSame(lines(await worksOf(snapshot)).sort(), said, 'snapshot of the core');
});

t.test('decode: a mistake in the file is exit code 2, and named', async (t) => {
  const file = join(temporaryFolder(t), 'd.json');
  const good = { kind: 'x', function: 'main.f', type: '*main.T', text: '{A.b}' };
  const cases: readonly [content: string, stderr: RegExp][] = [
    ['{', /it is not JSON/],
    ['', /it is not JSON/],
    ['[]', /"decoders" has to be a list/],
    ['{"decoders":[]}', /"decoders" has to be a list/],
    ['{"decoders":[3]}', /decoders\[0\] is not an object/],
    ...(
      [
        [{ kind: 'Loud' }, /decoders\[1\]\.kind is not a word of small letters, digits and -: "Loud"/],
        [{ kind: undefined }, /decoders\[1\]\.kind .*: nothing/],
        [{ function: 'f' }, /decoders\[1\]\.function is not a function with its package: "f"/],
        [{ word: -1 }, /decoders\[1\]\.word is not a whole number/],
        [{ word: '0' }, /decoders\[1\]\.word .*: "0"/],
        [{ type: 'main.T' }, /decoders\[1\]\.type is not "string", "interface" or a type behind a \*/],
        [{ text: 'a {b' }, /decoders\[1\]\.text has a { alone/],
        [{ text: '{a..b}' }, /decoders\[1\]\.text has no path of fields in \{a\.\.b\}/],
        [{ text: '{a|json}' }, /decoders\[1\]\.text has \{a\|json\}: the forms are text, path, sql, plain/],
        [{ text: '' }, /decoders\[1\]\.text is not a text/],
        [{ words: 1 }, /decoders\[1\] has "words": it takes kind, function, word, type, text/],
      ] as const
    ).map(([change, stderr]): [string, RegExp] => [
      JSON.stringify({ decoders: [good, { ...good, ...change }] }),
      stderr,
    ]),
  ];
  for (const [content, stderr] of cases) {
    writeFileSync(file, content);
    t.match(await gospyHere(['goroutines', SAMPLE, '--decode', file]), { code: 2, stdout: '', stderr }, content);
  }
  t.match(await gospyHere(['goroutines', SAMPLE, '--decode', '/nowhere/d.json']), { code: 5, stderr: /no such file/ });
  const ofCore = ['export', '--pid', '1', '--format', 'core', '--decode', file];
  t.match(await gospyHere(ofCore), { code: 2, stderr: /does not take --decode/ });
});

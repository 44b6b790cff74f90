import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { EXAMPLES } from '../../src/query/examples.js';
import { complete } from '../../src/query/prompt.js';
import { temporaryFolder } from '../support/gsp.js';
import { Tmux } from '../support/tmux.js';
import { gospyHere } from './gospy-here.js';
import { GOSPY, gospy, interruptedAt } from './gospy-process.js';

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const sample = (name: string): string => join(SAMPLES, name);

type Row = Readonly<Record<string, unknown>>;

/** The rows of a query. */
async function rowsOf(sql: string, ...args: string[]): Promise<Row[]> {
  const { code, stdout, stderr } = await gospyHere(['query', sql, ...args, '--json']);
  if (code !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as { rows: Row[] }).rows;
}

async function goroutinesOf(target: string): Promise<GoroutineWithStack[]> {
  const { stdout } = await gospyHere(['goroutines', target, '--json']);
  return (JSON.parse(stdout) as { goroutines: GoroutineWithStack[] }).goroutines;
}

/** What a row of the data set says, out of the list of goroutines. */
function asRow(g: GoroutineWithStack): Row {
  const place = (name: string, loc: { func: string; file: string; line: number } | null): Row => ({
    [`${name}_func`]: loc?.func ?? null,
    [`${name}_file`]: loc?.file ?? null,
    [`${name}_line`]: loc?.line ?? null,
  });
  return {
    ...{ goid: g.goid, status: g.status, wait_reason: g.waitReason, wait_ns: g.waitSinceNs, system: g.system },
    ...{ m: g.thread?.m ?? null, tid: g.thread?.tid ?? null, locked_to_thread: g.lockedToThread },
    ...{ parent_goid: g.parentGoid, torn: g.torn, truncated: g.truncated, labels: g.labels },
    ...{ ...place('creator', g.creator), ...place('entry', g.entry), ...place('user', g.user) },
    frames: g.frames.map(({ func, file, line, pc, inlined }) => ({ func, file, line, pc: Number(pc), inlined })),
    waits: g.waitsOn.map(({ kind, addr, op }) => ({ kind, addr, op })),
  };
}

const ALL = `SELECT * EXCLUDE (waits_on, work, app_func, app_file, app_line), list_transform(waits_on, lambda w: {kind: w.kind, addr: w.addr, op: w.op}) AS waits
  FROM goroutines ORDER BY goid`;

const APPS = `SELECT app_func AS func, app_file AS file, app_line AS line, count(*) AS n
  FROM goroutines GROUP BY ALL ORDER BY n DESC, func NULLS LAST`;

/** The same, out of the groups by the innermost place outside the standard library. */
async function appsOf(target: string): Promise<Row[]> {
  const { stdout } = await gospyHere(['goroutines', target, '--group-by', 'app', '--json']);
  const { groups } = JSON.parse(stdout) as { groups: { count: number; loc: Row | null }[] };
  const rows = groups.map(({ count, loc }) => ({
    func: loc?.['func'] ?? null,
    ...{ file: loc?.['file'] ?? null, line: loc?.['line'] ?? null, n: count },
  }));
  const last = (func: unknown): string => (typeof func === 'string' ? func : '\uffff');
  return rows.sort((a, b) => b.n - a.n || (last(a.func) < last(b.func) ? -1 : 1));
}

/** The columns of a row that {@link asRow} has. */
function known(row: Row): Row {
  const identity =
    /^(snapshot|service|host|date|captured_at|pid|runtime|bin|build_id|go_version|kind|arch|gomaxprocs|mode|pause_ns)$/;
  return Object.fromEntries(Object.entries(row).filter(([name]) => !identity.test(name)));
}

for (const name of ['queue.gsp', 'labels.gsp', 'torn.gsp', 'arm64.gsp', 'core.gz']) {
  t.test(
    `query: has every goroutine of ${name} as goroutines --json has it, from the file and from parquet`,
    async (t) => {
      const target = sample(name);
      const expected = (await goroutinesOf(target)).map(asRow);
      t.same((await rowsOf(ALL, target)).map(known), expected);
      t.same(await rowsOf(APPS, target), await appsOf(target));
      const folder = temporaryFolder(t);
      const file = join(folder, 'all.parquet');
      t.match(await gospyHere(['export', target, '--format', 'parquet', '-o', file]), {
        code: 0,
        stdout: /parquet: \d/,
      });
      t.same(await rowsOf(ALL, file), await rowsOf(ALL, target), 'one file');
      const dataset = join(folder, 'dataset');
      const by = ['--partition-by', 'service,date,host'];
      t.match(await gospyHere(['export', target, '--format', 'parquet', '-o', dataset, ...by]), { code: 0 });
      t.same(await rowsOf(ALL, dataset), await rowsOf(ALL, target), 'a data set');
    },
  );
}

t.test('query: frames, labels, waits, ps and threads are those of the other commands', async (t) => {
  const target = sample('labels.gsp');
  const goroutines = await goroutinesOf(target);
  t.same(
    await rowsOf('SELECT goid, depth, func, pc FROM frames ORDER BY ALL', target),
    goroutines.flatMap(({ goid, frames }) =>
      frames.map(({ func, pc }, depth) => ({ goid, depth, func, pc: Number(pc) })),
    ),
  );
  t.same(
    await rowsOf('SELECT goid, key, value FROM labels ORDER BY ALL', target),
    goroutines.flatMap(
      ({ goid, labels }) =>
      Object.entries(labels).sort().map(([key, value]) => ({ goid, key, value })), // prettier-ignore
    ),
  );
  t.equal(
    (await rowsOf('SELECT * FROM waits', target)).length,
    goroutines.reduce((sum, { waitsOn }) => sum + waitsOn.length, 0),
  );
  const summary = JSON.parse((await gospyHere(['summary', target, '--json'])).stdout) as {
    ps: { id: number; schedtick: number }[];
  };
  t.same(await rowsOf('SELECT id, schedtick FROM ps ORDER BY id', target), summary.ps.map(({ id, schedtick }) => ({ id, schedtick }))); // prettier-ignore
  const { threads } = JSON.parse((await gospyHere(['threads', target, '--json'])).stdout) as { threads: { tid: number; state: string; goid: number | null }[] }; // prettier-ignore
  t.same(
    await rowsOf('SELECT tid, state, goid FROM threads ORDER BY tid', target),
    threads.map(({ tid, state, goid }) => ({ tid, state, goid })).sort((a, b) => a.tid - b.tid),
  );
  t.match(await rowsOf('SELECT * FROM snapshots', target), [
    {
      path: target,
      service: 'sample',
      host: 'host',
      date: '2026-11-26',
      runtime: 1,
      go_version: '1.21.13',
      kind: 'snapshot',
    },
  ]);
});

t.test('query: a capture counts once, whatever names and files it is asked about by', async (t) => {
  const target = sample('queue.gsp');
  const folder = temporaryFolder(t);
  const copy = join(folder, 'copy.gsp');
  cpSync(target, copy);
  const dataset = join(folder, 'dataset');
  const by = ['--partition-by', 'service'];
  t.match(await gospyHere(['export', target, '--format', 'parquet', '-o', dataset, ...by]), { code: 0 });
  const count = 'SELECT count(*) AS n, count(DISTINCT goid) AS goids FROM goroutines';
  const [once] = await rowsOf(count, target);
  t.equal(once?.['n'], once?.['goids']);
  t.same(await rowsOf(count, target, join(SAMPLES, '..', 'samples', 'queue.gsp'), copy, dataset, folder), [once]);
  t.same(await rowsOf(count, dataset, dataset), [once]);
  t.equal((await rowsOf('SELECT * FROM snapshots', target, dataset)).length, 1);
  const both = await rowsOf('SELECT count(*) AS n FROM goroutines', target, sample('labels.gsp'));
  t.equal(both[0]?.['n'], (await goroutinesOf(target)).length + (await goroutinesOf(sample('labels.gsp'))).length);
});

t.test('query: --service names the program, in rows of snapshots and not of data sets', async (t) => {
  const target = sample('queue.gsp');
  const services = 'SELECT DISTINCT service FROM goroutines ORDER BY service';
  t.same(await rowsOf(services, target, '--service', 'shop'), [{ service: 'shop' }]);
  const file = join(temporaryFolder(t), 'all.parquet');
  const named = ['export', sample('labels.gsp'), '--format', 'parquet', '-o', file, '--service', 'till'];
  t.match(await gospyHere(named), { code: 0 });
  t.same(await rowsOf(services, target, file, '--service', 'shop'), [{ service: 'shop' }, { service: 'till' }]);
});

t.test('query: without ORDER BY, goroutines come in the order of their ids, target by target', async (t) => {
  const [first, second] = [sample('labels.gsp'), sample('queue.gsp')];
  const goids = [...(await goroutinesOf(first)), ...(await goroutinesOf(second))].map(({ goid }) => ({ goid }));
  t.same(await rowsOf('SELECT goid FROM goroutines', first, second), goids);
});

/** How many goroutines have each key, the most first. */
function ranked(keys: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
}

/** What each question's answer is, out of the list of goroutines: `[columns that are compared, rows]`. */
const ANSWERS: readonly ((all: readonly GoroutineWithStack[]) => unknown[][])[] = [
  (all) =>
    ranked(
      all.filter(({ status, system }) => status === 'waiting' && !system).map(({ waitReason, user }) => JSON.stringify([waitReason, user?.func])), // prettier-ignore
    ).map(([key, n]) => [...(JSON.parse(key) as unknown[]), n]),
  (all) =>
    ranked(all.filter(({ system }) => !system).map(({ entry }) => entry?.func ?? ''))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([func, n]) => [func, n]),
  (all) => {
    const pairs = all.flatMap(({ labels, waitSinceNs }) =>
      Object.entries(labels).map(([key, value]) => ({ id: JSON.stringify([key, value]), wait: waitSinceNs ?? -1 })),
    );
    const longest = (id: string): number => Math.max(...pairs.filter((pair) => pair.id === id).map(({ wait }) => wait));
    return ranked(pairs.map(({ id }) => id))
      .sort(([a], [b]) => longest(b) - longest(a) || (a < b ? -1 : 1))
      .map(([id, n]) => [...(JSON.parse(id) as unknown[]), n]);
  },
  (all) =>
    all
      .filter(
        ({ parentGoid, system }) => parentGoid !== null && !system && !all.some(({ goid }) => goid === parentGoid),
      )
      .map(({ goid, parentGoid, entry }) => [goid, parentGoid, entry?.func]),
  (all) => ranked(all.flatMap(({ frames }) => [...new Set(frames.map(({ func }) => func))])),
  (all) =>
    all
      .map(({ goid, frames, entry }) => [goid, frames.length, entry?.func])
      .sort(([a, x], [b, y]) => Number(y) - Number(x) || Number(a) - Number(b)),
  (all) =>
    ranked(
      all.flatMap(({ waitsOn }) => waitsOn.flatMap(({ kind, op, addr }) => (addr === null ? [] : [JSON.stringify([addr, op, kind])]))), // prettier-ignore
    ).map(([key, n]) => {
      const [addr, op, kind] = JSON.parse(key) as unknown[];
      return [kind, op, addr, n];
    }),
  (all) =>
    ranked(
      all
        .filter(({ system }) => !system)
        .map(({ creator }) => JSON.stringify([creator?.func, creator?.file, creator?.line])),
    ).map(
      // prettier-ignore
      ([key, n]) => [...(JSON.parse(key) as unknown[]), n],
    ),
];

t.test('query: the answers to the examples are those that the list of goroutines gives', async (t) => {
  t.equal(EXAMPLES.length, 10);
  for (const name of ['queue.gsp', 'labels.gsp']) {
    const all = await goroutinesOf(sample(name));
    for (const [i, { question, sql }] of EXAMPLES.entries()) {
      const rows = (await rowsOf(sql, sample(name))).map((row) => Object.values(row));
      const answer = ANSWERS[i];
      if (answer === undefined) t.equal(rows.length, 1, question);
      else {
        const expected = answer(all);
        // Columns that the lists lack, such as the build, are not compared; nor is more than the query asks for.
        const compared = rows.map((row) => row.filter((value) => expected.some((line) => line.includes(value))));
        t.same(compared.map((row) => row.slice(0, expected[0]?.length)), expected.slice(0, 5), `${name}: ${question}`); // prettier-ignore
      }
    }
  }
  const { code, stdout } = await gospyHere(['query', '--examples']);
  t.equal(code, 0);
  for (const { question, sql } of EXAMPLES) t.ok(stdout.includes(`-- ${question}\n${sql};\n`), question);
});

t.test('query: rows are written as a table, CSV, JSON, JSON lines or parquet', async (t) => {
  const target = sample('labels.gsp');
  const sql = `SELECT 'a "b", c' AS t, 9007199254740993 AS big, NULL AS n, [1, 2] AS l, MAP {'__proto__': '<&>'} AS m, 1.5 AS d`;
  const as = async (format: string): Promise<string> =>
    (await gospyHere(['query', sql, target, '--format', format])).stdout;
  t.equal(await as('csv'), 't,big,n,l,m,d\n"a ""b"", c",9007199254740993,,"[1,2]","{""__proto__"":""<&>""}",1.5\n');
  const row = JSON.parse(await as('ndjson')) as Row;
  t.same(Object.entries(row).filter(([name]) => name !== 'm'), [['t', 'a "b", c'], ['big', '9007199254740993'], ['n', null], ['l', [1, 2]], ['d', '1.5']]); // prettier-ignore
  t.equal(JSON.stringify(row['m']), '{"__proto__":"<&>"}');
  t.match(JSON.parse(await as('json')), { schema: 'gospy.query/1', more: false, rows: [row] });
  t.match(await as('table'), /^t +big +n +l +m +d\na "b", c  9007199254740993 +\[1,2\] /);
  const path = join(temporaryFolder(t), 'x.parquet');
  t.match(await gospyHere(['query', 'SELECT goid FROM goroutines', target, '--format', 'parquet', '-o', path]), { code: 0 }); // prettier-ignore
  t.equal(readFileSync(path, 'latin1').slice(0, 4), 'PAR1');
  const { stdout } = await gospyHere(['query', 'SELECT goid FROM goroutines', target, '--limit', '2', '--json']);
  t.match(JSON.parse(stdout), { more: true, rows: { length: 2 } });
});

t.test('query: what is interrupted leaves no file', async (t) => {
  const folder = temporaryFolder(t);
  for (const format of ['csv', 'parquet']) {
    const args = ['query', 'SELECT goid FROM goroutines', sample('queue.gsp'), '--format', format];
    t.match(await interruptedAt('file', 'SIGINT', [...args, '-o', join(folder, 'x')]), { code: 130 }, format);
    t.same(readdirSync(folder), [], format);
  }
});

t.test('query: what cannot be read is told and left out, or ends it with --strict', async (t) => {
  const folder = temporaryFolder(t);
  cpSync(sample('queue.gsp'), join(folder, 'good.gsp'));
  writeFileSync(join(folder, 'bad.gsp'), 'not a snapshot');
  writeFileSync(join(folder, 'bad.parquet'), 'PAR1PAR1');
  const count = 'SELECT count(*) AS n FROM goroutines';
  const { code, stdout, stderr } = await gospyHere(['query', count, folder, '--format', 'csv']);
  t.same([code, stdout], [0, 'n\n27\n']);
  t.match(stderr, /left out: .*bad\.gsp/);
  t.match(stderr, /left out: .*bad\.parquet/);
  t.match(await gospyHere(['query', count, folder, '--strict']), { code: 7, stdout: '' });
  t.same(await rowsOf(count, join(folder, 'g*.gsp')), [{ n: 27 }], 'a pattern');
  t.match(await gospyHere(['query', count, join(folder, 'none.gsp')]), { code: 5 });
  t.match(await gospyHere(['query', count, join(folder, 'x*.gsp')]), { code: 5, stderr: /no file like/ });
  t.match(await gospyHere(['query', count]), { code: 2 });
  t.match(await gospyHere(['query', 'SELECT nothing FROM goroutines', sample('queue.gsp')]), {
    code: 2,
    stderr: /nothing/,
  });
  t.match(await gospyHere(['query', count, sample('queue.gsp'), '--memory', 'much']), { code: 2 });
  t.match(await gospyHere(['query', count, sample('queue.gsp'), '--format', 'parquet']), { code: 2 });
  t.match(await gospy(['query', count, sample('queue.gsp')], { stdoutPath: '/dev/full' }), { code: 5 });
});

t.test('export parquet: adding a capture adds files, rewrites none, and never adds rows twice', async (t) => {
  const dataset = join(temporaryFolder(t), 'dataset');
  const add = async (...names: string[]): Promise<void> => {
    const args = [
      'export',
      ...names.map(sample),
      '--format',
      'parquet',
      '-o',
      dataset,
      '--partition-by',
      'service,date,host',
    ];
    t.match(await gospyHere(args), { code: 0 });
  };
  const files = (): Map<string, string> => {
    const paths = readdirSync(dataset, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.parquet'),
    );
    return new Map(paths.sort().map((path) => [path, `${statSync(join(dataset, path)).ino}`]));
  };
  await add('before.gsp', 'after.gsp');
  const first = files();
  t.equal(first.size, 2);
  for (const path of first.keys())
    t.match(path, /^service=sample\/date=2026-11-26\/host=host\/gospy-[0-9a-f]{24}\.parquet$/);
  await add('queue.gsp');
  const second = files();
  t.equal(second.size, 3);
  for (const [path, inode] of first) t.equal(second.get(path), inode, 'the same file as before');
  await add('before.gsp');
  t.same([...files().keys()], [...second.keys()]);
  const counted = await rowsOf(
    'SELECT service, count(*) AS n, count(DISTINCT snapshot) AS s FROM goroutines GROUP BY ALL ORDER BY ALL',
    dataset,
  );
  t.same(counted, [{ service: 'queue', n: 27, s: 1 }, { service: 'sample', n: 35, s: 2 }]); // prettier-ignore
  t.same(await rowsOf('SELECT count(*) AS n FROM snapshots', dataset), [{ n: 3 }]);
  const evil = `../${'x'.repeat(300)}/"'$(id)=é`;
  const args = ['export', sample('queue.gsp'), '--format', 'parquet', '-o', dataset, '--partition-by', 'service'];
  t.match(await gospyHere([...args, '--service', evil]), { code: 0 });
  t.same(readdirSync(join(dataset, '..')), ['dataset'], 'no name leads out of the folder');
  t.match(await gospyHere(['export', sample('queue.gsp'), '--format', 'parquet']), { code: 2 });
  t.match(await gospyHere([...args.slice(0, -1), 'pid']), { code: 2 });
  t.match(await gospyHere(['export', sample('queue.gsp'), sample('labels.gsp'), '--format', 'json']), { code: 2 });
});

t.test('query: without SQL, statements are read from standard input', async (t) => {
  const folder = temporaryFolder(t);
  const child = spawn(process.execPath, [GOSPY, 'query', sample('queue.gsp'), '--format', 'csv'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  });
  child.stdin.end('SELECT count(*) AS n\nFROM goroutines;\n.tables\nSELECT 1 AS one');
  const closed = once(child, 'close') as Promise<[number | null]>;
  const [out, , [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  t.equal(code, 0);
  t.match(out, /^n\n27\nsnapshots .*\n(.*\n)*one\n1\n$/);
  t.same(readdirSync(folder), [], 'no temporary folder is left');
});

t.test('query: Ctrl-C ends the query that runs, and the prompt goes on', async (t) => {
  const folder = temporaryFolder(t);
  const tmux = new Tmux(t, 100, 30, folder);
  const command = `XDG_STATE_HOME=${folder} ${process.execPath} ${GOSPY} query ${sample('queue.gsp')}`;
  tmux.type(command);
  await tmux.until((screen) => /gospy>$/m.test(screen), 'a prompt');
  // tmux takes a semicolon at the end for its own.
  tmux.type('SELECT count(a.range + b.range) FROM range(100000000) a, range(100000000) b; ');
  tmux.keys('C-c');
  await tmux.until((screen) => /Interrupted/i.test(screen), 'the end of the query');
  tmux.type('SELECT count(*) + 1000 AS');
  tmux.type('n FROM goroutines; ');
  await tmux.until((screen) => screen.includes('\n1027\n'), 'the answer to the next');
  tmux.keys('C-d');
  await tmux.until((screen) => /^\$\s*$/m.test(screen), 'the shell');
  t.match(
    readFileSync(join(folder, 'gospy_query_history'), 'utf8'),
    /^SELECT count\(\*\) \+ 1000 AS n FROM goroutines;\n/,
  );
});

t.test('query: the prompt completes names of tables and columns', (t) => {
  const names = ['frames', 'func', 'goid', 'goroutines', '.examples'];
  t.same(complete(names, 'SELECT g.go'), [['goid', 'goroutines'], 'go']);
  t.same(complete(names, 'SELECT FR'), [['frames'], 'FR']);
  t.same(complete(names, '.ex'), [['.examples'], '.ex']);
  t.end();
});

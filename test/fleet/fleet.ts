import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { EXAMPLES } from '../../src/query/examples.js';
import { buildGo, requireGo, startGo, type StartOptions } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { askPython, pythonWith } from '../support/python.js';
import { untilQuiet } from '../support/quiet.js';
import type { Cell } from '../support/releases.js';
import { gospyHere } from '../src/gospy-here.js';
import { gospy } from '../src/gospy-process.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const HERE = join(ROOT, 'test/fleet');
/** What each process of the fleet is, and the host that it runs on. */
const PROCESSES: readonly (readonly [host: string, cell: Cell, options?: StartOptions])[] = [
  ['web1', { fixture: 'profiled', release: '1.24', link: 'stripped' }],
  ['web2', { fixture: 'profiled', release: '1.27', link: 'stripped' }],
  ['api1', { fixture: 'working', release: '1.27', link: 'stripped' }],
  ['web3', { fixture: 'leaks', release: '1.27', link: 'stripped' }],
  ['db-1', { fixture: 'allwaits', release: '1.26', link: 'plain' }],
];
const CAPTURES_EACH = 40;

type Rows = readonly (readonly unknown[])[];
type Answers = Readonly<Record<string, Rows>>;

t.setTimeout(1_800_000);

/** Statements of a block of SQL in the documentation, each with the comment before it. */
function statementsOf(block: number): { readonly question: string; readonly sql: string }[] {
  const document = readFileSync(join(ROOT, 'docs/fleet.md'), 'utf8');
  const text = [...document.matchAll(/^```sql\n([^]*?)^```$/gm)][block]?.[1] ?? '';
  return text.split(/;\n/).flatMap((statement) => {
    const [, question = '', sql = ''] = /^(?:-- (.*)\n)?([^]*)$/.exec(statement.trim()) ?? [];
    return sql === '' ? [] : [{ question, sql }];
  });
}

/** Captures processes, each on a host of its own name. Returns the snapshots. */
async function captureFleet(t: Test, folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const [host, cell, options] of PROCESSES) {
    const program = await startGo(t, await buildGo(cell), options);
    await untilQuiet(program.pid);
    for (let i = 0; i < CAPTURES_EACH; i++) {
      const path = join(folder, `${host}-${i}.gsp`);
      const under = ['unshare', '--uts', 'sh', '-c', 'hostname "$0" && exec "$@"', host];
      const { code, stderr } = await gospy(['capture', '--pid', String(program.pid), '-o', path], { under });
      if (code !== 0) throw new Error(stderr);
      files.push(path);
    }
    program.signal('SIGKILL');
  }
  return files;
}

/** Adds snapshots to a data set, as each host does. */
async function addAll(files: readonly string[], dataset: string): Promise<void> {
  for (let from = 0; from < files.length; from += CAPTURES_EACH) {
    const some = files.slice(from, from + CAPTURES_EACH);
    const args = ['export', ...some, '--format', 'parquet', '--partition-by', 'service,date,host', '-o', dataset];
    const { code, stderr } = await gospy(args);
    if (code !== 0) throw new Error(stderr);
  }
}

/** Rows of `gospy query`. */
async function ask(sql: string, target: string): Promise<Rows> {
  const { code, stdout, stderr } = await gospyHere(['query', sql, target, '--json']);
  if (code !== 0) throw new Error(`${sql}: ${stderr}`);
  return (JSON.parse(stdout) as { rows: Record<string, unknown>[] }).rows.map((row) => Object.values(row));
}

/** Rows as all readers give them: times in milliseconds, and no more digits than a sum in any order has. */
function comparable(rows: Rows | undefined): unknown {
  return rows?.map((row) =>
    row.map((value) => {
      if (typeof value === 'number') return Number(value.toPrecision(12));
      return typeof value === 'string' && /^\d{4}-\d\d-\d\d[ T]\d\d:/.test(value) ? Date.parse(value) : value;
    }),
  );
}

/** What each table has, as the snapshots themselves say. */
async function counted(files: readonly string[]): Promise<Record<string, number>> {
  const counts = { goroutines: 0, frames: 0, labels: 0, waits: 0, work: 0 };
  for (const file of files) {
    const { stdout } = await gospyHere(['goroutines', file, '--json']);
    const { goroutines } = JSON.parse(stdout) as { goroutines: GoroutineWithStack[] };
    for (const { frames, labels, waitsOn, work } of goroutines) {
      counts.goroutines++;
      counts.frames += frames.length;
      counts.labels += Object.keys(labels).length;
      counts.waits += waitsOn.length;
      counts.work += work.length;
    }
  }
  return counts;
}

/** The same in ClickHouse's SQL, and how many goroutines each function is innermost of, which SQL of gospy's tells too. */
const CLICKHOUSE = {
  counts: `SELECT count(), sum(length(frames)), sum(length(mapKeys(labels))), sum(length(waits_on)), sum(length(work)) FROM rows`,
  innermost: `SELECT service, tupleElement(frames[1], 'func') AS func, toFloat64(count()) AS n
    FROM rows WHERE length(frames) > 0 GROUP BY service, func ORDER BY n DESC, service, func`,
};
const INNERMOST = `SELECT service, func, count(*) AS n FROM frames WHERE depth = 0 GROUP BY ALL ORDER BY n DESC, service, func`;

if (requireGo(t)) {
  t.test('fleet: every reader answers every question about a data set with the same numbers', async (t) => {
    const python = await pythonWith(join(HERE, 'requirements.txt'));
    const [snapshots, dataset] = [temporaryFolder(t), join(temporaryFolder(t), 'goroutines')];
    const files = await captureFleet(t, snapshots);
    t.equal(files.length, 200);
    await addAll(files, dataset);

    const ofDataset = EXAMPLES.filter(({ sql }) => !/\bFROM (?:ps|threads)\b/.test(sql));
    const questions = [...ofDataset, ...statementsOf(1)];
    t.equal(questions.length, 17);
    const asked = (change: (sql: string) => string, views: readonly string[]): object => ({
      ...{ dataset, views },
      queries: Object.fromEntries(questions.map(({ question, sql }) => [question, change(sql)])),
    });
    const views = statementsOf(0).map(({ sql }) => sql.replaceAll('/mnt/fleet/goroutines', dataset));
    const source = `read_parquet('${dataset}/**/*.parquet', hive_partitioning = true)`;
    const key = 'snapshot, service, host, date, captured_at, pid, runtime, bin, build_id, go_version, goid';
    const duckViews = [
      `CREATE VIEW goroutines AS SELECT * FROM ${source}`,
      'CREATE VIEW snapshots AS SELECT DISTINCT snapshot, service, host, captured_at, build_id, go_version FROM goroutines',
      `CREATE VIEW frames AS SELECT ${key}, unnest(f) FROM (SELECT ${key}, unnest(frames) AS f FROM goroutines)`,
      `CREATE VIEW labels AS SELECT ${key}, e.key, e.value FROM (SELECT ${key}, unnest(map_entries(labels)) AS e FROM goroutines)`,
      `CREATE VIEW waits AS SELECT ${key}, unnest(w) FROM (SELECT ${key}, unnest(waits_on) AS w FROM goroutines)`,
      `CREATE VIEW work AS SELECT ${key}, unnest(w) FROM (SELECT ${key}, unnest(work) AS w FROM goroutines)`,
    ];
    const reader = (name: string, question: object): Promise<Answers> => askPython(python, join(HERE, name), question);
    const bySpark = await reader('by_spark.py', asked((sql) => sql.replaceAll('len(frames)', 'size(frames)'), views)); // prettier-ignore
    const byArrow = await reader(
      'by_arrow.py',
      asked((sql) => sql, []),
    );
    const byDuckDb = await reader(
      'by_duckdb.py',
      asked((sql) => sql, duckViews),
    );
    for (const { question, sql } of questions) {
      const ours = comparable(await ask(sql, dataset));
      t.ok((ours as Rows).length > 0, `${question} has an answer`);
      t.strictSame(comparable(await ask(sql, snapshots)), ours, `${question}: the snapshots themselves`);
      t.strictSame(comparable(bySpark[question]), ours, `${question}: Spark`);
      t.strictSame(comparable(byDuckDb[question]), ours, `${question}: DuckDB`);
      t.strictSame(comparable(byArrow[question]), ours, `${question}: pyarrow`);
    }

    const counts = await counted(files);
    t.ok(Object.values(counts).every((n) => n > 200), JSON.stringify(counts)); // prettier-ignore
    for (const table of Object.keys(counts)) {
      t.strictSame(await ask(`SELECT count(*) FROM ${table}`, dataset), [[counts[table]]], table);
    }
    const fromFiles = `file('${dataset}/**/*.parquet')`;
    const queries = Object.fromEntries(
      Object.entries(CLICKHOUSE).map(([name, sql]) => [
        name,
        `${sql.replace('rows', fromFiles)} SETTINGS use_hive_partitioning = 1, output_format_json_quote_64bit_integers = 0`,
      ]),
    );
    const byClickHouse = await reader('by_clickhouse.py', { dataset, views: [], queries });
    t.strictSame(byClickHouse['counts'], [Object.values(counts)], 'ClickHouse counts what the snapshots have');
    t.strictSame(byClickHouse['innermost'], await ask(INNERMOST, dataset), 'ClickHouse finds the same functions');
  });
}

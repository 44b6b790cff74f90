import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';
import type { Test } from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { temporaryFolder } from '../support/gsp.js';
import { parseTraceback } from '../support/traceback.js';
import { gospyHere } from './gospy-here.js';

/** What a terminal would obey, or a reader take for the end of a line. */
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** The text of a file that a command writes. */
async function written(t: Test, ...args: readonly string[]): Promise<Buffer> {
  const path = join(temporaryFolder(t), 'out');
  const { code, stderr } = await gospyHere([...args, '-o', path]);
  if (code !== 0) throw new Error(stderr);
  return readFileSync(path);
}

/** A name as text that is read line by line shows it. */
function visible(name: string): string {
  return name.replace(UNSEEN, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
  });
}

function stacksOf(goroutines: readonly GoroutineWithStack[], nameOf: (func: string) => string): string[] {
  return goroutines.map(({ frames }) => frames.map(({ func }) => nameOf(func)).join('\n')).sort();
}

/** The goroutines of a target as JSON has them. */
export async function goroutinesAsJson(target: string): Promise<readonly GoroutineWithStack[]> {
  const { stdout } = await gospyHere(['goroutines', target, '--json']);
  return (JSON.parse(stdout) as { goroutines: GoroutineWithStack[] }).goroutines;
}

/** Checks that names in a target arrive as they are in every format that is written to a file, and in what SQL answers. */
export async function checkFormats(t: Test, target: string): Promise<void> {
  const goroutines = await goroutinesAsJson(target);
  const names = goroutines.flatMap(({ frames }) => frames.map(({ func }) => func));
  const files = goroutines.flatMap(({ frames }) => frames.map(({ file }) => file));
  const write = async (format: string, ...args: readonly string[]): Promise<Buffer> =>
    written(t, 'export', target, '--format', format, ...args);
  const reported = goroutines.length;

  t.same((JSON.parse(String(await write('json'))) as { goroutines: unknown }).goroutines, goroutines, 'json');
  const lines = String(await write('ndjson')).trim().split('\n'); // prettier-ignore
  t.same(lines.map((line) => JSON.parse(line) as unknown), goroutines, 'ndjson'); // prettier-ignore

  const folded = String(await write('folded')).trim().split('\n'); // prettier-ignore
  const unfolded = folded.flatMap((line) => {
    const [, stack = '', count] = /^(.*) (\d+)$/.exec(line) ?? [];
    return Array.from({ length: Number(count) }, () => stack.split(';').reverse().join('\n'));
  });
  t.same(unfolded.sort(), stacksOf(goroutines, (func) => visible(func).replaceAll(';', '\\x3b')), 'folded'); // prettier-ignore

  const { shared, profiles } = JSON.parse(String(await write('speedscope'))) as {
    shared: { frames: { name: string; file: string }[] };
    profiles: { samples: number[][]; weights: number[] }[];
  };
  const sampled = profiles[0]?.samples.flatMap((frames, i) => {
    const stack = frames.map((n) => shared.frames[n]?.name ?? '').reverse().join('\n'); // prettier-ignore
    return Array.from({ length: profiles[0]?.weights[i] ?? 0 }, () => stack);
  });
  t.same(
    sampled?.sort(),
    stacksOf(goroutines, (func) => func),
    'speedscope',
  );
  t.same(new Set(shared.frames.map(({ file }) => file)), new Set(files));

  for (const labels of [[], ['--labels']]) {
    const parsed = parseTraceback(String(await write('traceback', ...labels)));
    t.equal(parsed.length, reported, 'traceback');
    t.same(
      parsed.map(({ frames }) => frames.map(({ func, file, line }) => [func, file, line])),
      goroutines.map(({ frames }) => frames.map(({ func, file, line }) => [visible(func), visible(file), line])),
      'traceback',
    );
  }

  const dot = String(await write('dot'));
  const [texts, rest] = [dot.match(/"(?:[^"\\]|\\.)*"/g) ?? [], dot.replace(/"(?:[^"\\]|\\.)*"/g, 'TEXT')];
  t.match(rest, /^digraph waits \{\n(?:  [\w ]+(?:-> \w+ )?(?:\[\w+=\w+(?:, \w+=\w+)*\])?;\n)*\}\n$/, 'dot');
  t.equal(texts.some((text) => UNSEEN.test(text)), false); // prettier-ignore

  const profile = Profile.decode(gunzipSync(await write('pprof')));
  const { strings } = profile.stringTable;
  t.equal(profile.sample.length, reported);
  for (const name of [...names, ...files]) t.ok(strings.includes(name), `pprof: ${name}`);
  const labels = profile.sample.map(({ label }): [number, Record<string, string>] => {
    const goid = label.find(({ key }) => strings[Number(key)] === 'goid')?.num;
    const texts = label.filter(({ str }) => Number(str) !== 0);
    const pairs = texts.map(({ key, str }): [string, string] => [strings[Number(key)] ?? '', strings[Number(str)] ?? '']); // prettier-ignore
    return [Number(goid), Object.fromEntries(pairs)];
  });
  const byGoid = new Map(labels);
  for (const { goid, labels } of goroutines) t.match(byGoid.get(goid), labels, 'pprof labels');

  await checkRows(t, target, goroutines);
}

const ROWS = `SELECT goid, labels, list_transform(frames, lambda f: [f.func, f.file]) AS frames FROM goroutines ORDER BY goid`;

/** The same by SQL: from the file and from parquet, in each way to print rows. */
async function checkRows(t: Test, target: string, goroutines: readonly GoroutineWithStack[]): Promise<void> {
  const expected = goroutines.map(({ goid, labels, frames }) => ({
    ...{ goid, labels, frames: frames.map(({ func, file }) => [func, file]) },
  }));
  const parquet = join(temporaryFolder(t), '";\n\u202e.parquet');
  const dataset = join(temporaryFolder(t), "it's\n");
  const service = ['--service', '../";\n\u202e=%2F'];
  for (const args of [[parquet], [dataset, '--partition-by', 'service,date', ...service]]) {
    t.match(await gospyHere(['export', target, '--format', 'parquet', '-o', ...args]), { code: 0 });
  }
  for (const asked of [target, parquet, dataset]) {
    const { rows } = JSON.parse(String(await written(t, 'query', ROWS, asked, '--json'))) as { rows: unknown };
    t.same(rows, expected, `query of ${visible(asked)}`);
  }
  const services = JSON.parse(String(await written(t, 'query', 'SELECT DISTINCT service FROM goroutines', dataset, '--json'))) as unknown; // prettier-ignore
  t.match(services, { rows: [{ service: '../";\n\u202e=%2F' }] });
  const lines = String(await written(t, 'query', ROWS, target, '--format', 'ndjson')).trim().split('\n'); // prettier-ignore
  t.same(lines.map((line) => JSON.parse(line) as unknown), expected, 'ndjson'); // prettier-ignore
  const csv = String(await written(t, 'query', 'SELECT key, value, func FROM labels JOIN frames USING (snapshot, goid) ORDER BY goid, depth, key', target, '--format', 'csv')); // prettier-ignore
  const cells = goroutines.flatMap(
    ({ labels, frames }) =>
    frames.flatMap(({ func }) => Object.entries(labels).sort().map(([key, value]) => [key, value, func])), // prettier-ignore
  );
  t.same(parseCsv(csv), [['key', 'value', 'func'], ...cells], 'csv');
  const { stdout } = await gospyHere(['query', 'SELECT goid, labels, frames FROM goroutines', target]);
  t.notMatch(stdout.replaceAll('\n', ''), UNSEEN, 'a table');
  t.equal(stdout.trim().split('\n').length, goroutines.length + 1, 'a line a row');
}

/** As RFC 4180 has it. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, bare = '', end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/g)) {
    if (end === '') break;
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? bare);
    if (end === '\n') rows.push([]);
  }
  return rows.slice(0, -1);
}

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import t from 'tap';
import type { Goroutine, GoroutineWithStack } from '../../analyze/report/model.js';
import { LabelNames, storeName } from '../../src/export/pprof-labels.js';
import { mergeSamples, STORE, type MergedSample, type StoreLimits } from '../../src/export/pprof-merge.js';
import { openTarget } from '../../src/targets/open-target.js';
import { temporaryFolder } from '../support/gsp.js';
import { gospyHere } from './gospy-here.js';

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const QUEUE = join(SAMPLES, 'queue.gsp');
const FORMATS = ['pprof', 'folded', 'speedscope', 'traceback', 'json', 'ndjson', 'dot', 'parquet', 'html', 'core'];

/** A goroutine of which nothing is known. */
const QUIET: Goroutine = {
  ...{ goid: 7, runtime: 1, status: 'waiting', waitReason: null, waitSinceNs: null, system: false, thread: null },
  ...{ lockedToThread: false, labels: {}, parentGoid: null, creator: null, start: null, entry: null, current: null },
  torn: false,
};

async function exported(target: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await gospyHere(['export', target, '--format', ...args]);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

async function goroutinesOf(target: string, ...options: string[]): Promise<GoroutineWithStack[]> {
  const { stdout } = await gospyHere(['goroutines', target, '--json', ...options]);
  return (JSON.parse(stdout) as { goroutines: GoroutineWithStack[] }).goroutines;
}

function stackOf({ frames, truncated }: GoroutineWithStack): string {
  const names = frames.map(({ func }) => func).reverse();
  return (truncated === null ? names : ['(the stack ends early)', ...names]).join(';');
}

function counted(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return new Map([...counts].sort());
}

interface Speedscope {
  readonly shared: { readonly frames: readonly { readonly name: string }[] };
  readonly profiles: readonly {
    readonly name: string;
    readonly endValue: number;
    readonly samples: readonly (readonly number[])[];
    readonly weights: readonly number[];
  }[];
}

const require = createRequire(import.meta.url);

/** speedscope's own description of its format, from its package. */
function speedscopeSchema(): object {
  const folder = join(require.resolve('speedscope/package.json'), '..');
  return JSON.parse(readFileSync(join(folder, 'dist/release/file-format-schema.json'), 'utf8')) as object;
}

for (const sample of ['queue.gsp', 'labels.gsp', 'torn.gsp', 'core.gz']) {
  const target = join(SAMPLES, sample);

  t.test(`export folded: has the stacks of ${sample}, and how many goroutines have each`, async (t) => {
    const lines = (await exported(target, 'folded')).trim().split('\n');
    const read = lines.map((line): [string, number] => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    });
    t.same(new Map([...read].sort()), counted((await goroutinesOf(target)).map(stackOf)));
    t.same(read.map(([, n]) => n), read.map(([, n]) => n).sort((a, b) => b - a), 'the most frequent first'); // prettier-ignore
  });

  t.test(`export speedscope: is valid by its schema, and counts the goroutines of ${sample}`, async (t) => {
    const document = JSON.parse(await exported(target, 'speedscope', '--no-system')) as Speedscope;
    const isValid = new Ajv({ strict: false }).compile(speedscopeSchema());
    t.ok(isValid(document), JSON.stringify(isValid.errors));
    const goroutines = await goroutinesOf(target, '--no-system');
    const [counts, waits] = document.profiles;
    const read = counts?.samples.flatMap((frames, i) => {
      const names = frames.map((n) => document.shared.frames[n]?.name ?? '');
      return Array.from({ length: counts.weights[i] ?? 0 }, () => names.join(';'));
    });
    t.same(counted(read ?? []), counted(goroutines.map(stackOf)));
    t.equal(counts?.endValue, goroutines.length);
    t.equal(waits?.endValue, goroutines.reduce((sum, { waitSinceNs }) => sum + (waitSinceNs ?? 0), 0)); // prettier-ignore
  });

  t.test(`export json, ndjson, traceback: are what the commands print of ${sample}`, async (t) => {
    const filters = ['--status', 'waiting', '--sort', 'func'];
    const [asJson, asNdjson, asText] = await Promise.all([
      gospyHere(['goroutines', target, '--json', ...filters]),
      gospyHere(['goroutines', target, '--ndjson', ...filters]),
      gospyHere(['stacks', target, ...filters]),
    ]);
    t.equal(await exported(target, 'json', ...filters), asJson.stdout);
    t.equal(await exported(target, 'ndjson', ...filters), asNdjson.stdout);
    // Its text begins with what goroutines work on, which is no part of a traceback.
    const stacks = asText.stdout.replace(/^work:\n(?: .*\n)*\n/, '');
    t.equal(await exported(target, 'traceback', ...filters), stacks);
  });
}

t.test('export: every filter of goroutines selects the same here', async (t) => {
  const target = join(SAMPLES, 'labels.gsp');
  for (const filter of [
    ['--label', 'tenant=blue'],
    ['--func', 'worker'],
    ['--goid', '18', '--goid', '19'],
    ['--wait-reason', 'select'],
    ['--min-wait', '1ms'],
    ['--no-system'],
  ]) {
    const goroutines = await goroutinesOf(target, ...filter);
    const folded = await exported(target, 'folded', ...filter);
    const sum = [...folded.matchAll(/ (\d+)$/gm)].reduce((total, [, n]) => total + Number(n), 0);
    t.equal(sum, goroutines.length, filter.join(' '));
    t.ok(sum > 0 && sum < 20, filter.join(' '));
  }
});

t.test('export dot: draws the graph that waits draws, or the part that is selected', async (t) => {
  const { stdout } = await gospyHere(['waits', QUEUE, '--dot', '--limit', '0']);
  t.equal(await exported(QUEUE, 'dot'), stdout);
  t.notMatch(await exported(QUEUE, 'dot', '--goid', '1'), /->/);
});

t.test('export: options that a format does not take are usage errors', async (t) => {
  for (const args of [
    ['--format', 'odd'],
    ['--format', 'folded', '--merge'],
    ['--format', 'json', '--for-store'],
    ['--format', 'pprof', '--labels'],
    ['--format', 'core', '--status', 'waiting', '-o', 'x'],
    ['--format', 'pprof', '--status', 'odd'],
    [],
  ]) {
    t.match(await gospyHere(['export', QUEUE, ...args]), { code: 2, stdout: '' }, args.join(' '));
  }
});

t.test('export: a file is replaced in one step, and nothing is left of one that cannot be written', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'out');
  for (const format of FORMATS) {
    writeFileSync(path, 'old');
    t.match(await gospyHere(['export', QUEUE, '--format', format, '-o', path]), { code: 0, stdout: /out: \d/ }, format);
    t.not(readFileSync(path, 'latin1').slice(0, 3), 'old');
    t.same(readdirSync(folder), ['out']);
    const odd = join(folder, 'none', 'out');
    t.match(await gospyHere(['export', QUEUE, '--format', format, '-o', odd]), { code: 5 }, format);
    t.notOk(existsSync(odd));
    t.match(await gospyHere(['export', QUEUE, '--format', format, '-o', folder]), { code: 5 }, format);
    t.match(await gospyHere(['export', QUEUE, '--format', format, '-o', '/dev/null']), { code: 5 }, format);
  }
});

t.test('export pprof: what a store does not take is merged away, and told', async (t) => {
  const target = await openTarget({ file: join(SAMPLES, 'labels.gsp') });
  t.teardown(() => target.close());
  const merged = (limits: StoreLimits | null): { samples: MergedSample[]; notes: string[] } => {
    const notes: string[] = [];
    const samples = mergeSamples({ programs: target.programs, query: {} }, limits, (note) => notes.push(note));
    return { samples, notes };
  };
  const sum = (samples: readonly MergedSample[]): number => samples.reduce((total, { count }) => total + count, 0);
  const all = merged(null);
  t.same(merged(STORE), { samples: all.samples, notes: [] });
  const keys = (samples: readonly MergedSample[]): Set<string> =>
    new Set(samples.flatMap(({ labels }) => labels.texts.map(([key]) => key)));
  t.same([...keys(all.samples)].sort(), ['request', 'status', 'tenant', 'wait_reason']);

  const fewer = merged({ ...STORE, labels: 2 });
  t.equal(keys(fewer.samples).size, 2);
  t.match(fewer.notes, [/label wait_reason with 10 values is left out/, /label/]);
  t.equal(sum(fewer.samples), 20);

  const few = merged({ ...STORE, samples: 5 });
  t.equal(few.samples.length, 5);
  t.equal(sum(few.samples), 20);
  t.match(few.notes.at(-1), /the rarest \d+ stacks are one/);
  t.equal(few.samples.at(-1)?.stack.frames[0]?.lines[0]?.func, '(rarer stacks)');
});

t.test('export pprof: labels have names that a store takes, no two the same', (t) => {
  const goroutine = (labels: Record<string, string>): Goroutine => ({ ...QUIET, labels });
  const names = new LabelNames(false, storeName);
  const evil = JSON.parse('{"__proto__": "1", "tenant-id": "2", "tenant id": "3", "status": "4", "9": "5"}') as Record<
    string,
    string
  >;
  t.same(
    new Map(names.of(goroutine(evil)).texts),
    new Map([
      ['status', 'waiting'],
      ['__proto__', '1'],
      ['tenant_id', '2'],
      ['label_tenant_id', '3'],
      ['label_status', '4'],
      ['_9', '5'],
    ]),
  );
  t.same(names.of(goroutine({ 'tenant id': 'x' })).texts.at(-1), ['label_tenant_id', 'x'], 'always the same');
  t.end();
});

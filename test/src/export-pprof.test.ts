import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import { eventually } from '../support/eventually.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { LONG_NAME, ODD_CELL } from '../support/odd.js';
import { untilQuiet } from '../support/quiet.js';
import { PANICPARSE_CELL, PROFILED_CELLS } from '../support/releases.js';
import { gospy } from './gospy-process.js';
import { checkFormats } from './hostile-formats.js';

/** Profiles and tracebacks as the tools read them that they are made for. */

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const run = promisify(execFile);

/** What `go tool pprof` says of a profile. */
async function pprof(...args: string[]): Promise<string> {
  const env = { ...process.env, GOTOOLCHAIN: 'local', PPROF_BINARY_PATH: '/nowhere' };
  const { stdout } = await run('go', ['tool', 'pprof', '-symbolize=none', ...args], { env, maxBuffer: 1 << 28 });
  return stdout;
}

async function goroutinesOf(path: string, ...options: string[]): Promise<GoroutineWithStack[]> {
  const { stdout } = await gospy(['goroutines', path, '--json', ...options]);
  return (JSON.parse(stdout) as { goroutines: GoroutineWithStack[] }).goroutines;
}

/** Writes a sample as a profile and returns its path. */
async function profileOf(folder: string, ...args: string[]): Promise<string> {
  const path = join(folder, 'goroutines.pb.gz');
  const { code, stderr } = await gospy(['export', ...args, '--format', 'pprof', '-o', path]);
  if (code !== 0) throw new Error(stderr);
  return path;
}

/** By function, in how many samples it is. */
function cumulated(top: string, pattern: RegExp): Map<string, number> {
  const rows = [...top.matchAll(/^ *\d+ +[\d.]+% +[\d.]+% +(\d+) +[\d.]+% +(.*?)( \((partial-)?inline\))?$/gm)];
  const ours = rows.filter(([, , name = '']) => pattern.test(name));
  return new Map(ours.map(([, n, name = '']): [string, number] => [name, Number(n)]).sort());
}

interface RawSample {
  readonly values: readonly number[];
  readonly locations: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** The samples, and the lines of each location, of `pprof -raw`. */
function parseRaw(raw: string): { samples: RawSample[]; lines: Map<string, string[]> } {
  const [, ofSamples = '', ofLocations = ''] = /^Samples:\n([^]*)^Locations\n([^]*?)^Mappings/m.exec(raw) ?? [];
  const samples = [...ofSamples.matchAll(/^ +(\d+) +(\d+): ([\d ]+?) *\n((?: {16}.*\n)*)/gm)].map((match) => {
    const [, count, wait, locations = '', labels = ''] = match;
    const pairs = [...labels.matchAll(/(\S+?):\[(.*?)\](?= |$)/gm)].map(([, key = '', value = '']) => [key, value]);
    return {
      values: [Number(count), Number(wait)],
      locations: locations.split(' '),
      labels: Object.fromEntries(pairs) as Record<string, string>,
    };
  });
  const lines = new Map<string, string[]>();
  for (const [, id = '', text = ''] of ofLocations.matchAll(/^ +(\d+): 0x\S+ (?:M=\d+ )?(.*\n(?: {13}.*\n)*)/gm)) {
    lines.set(
      id,
      [...text.matchAll(/^ *(.*) (\S+):(\d+):0 s=0$/gm)].map(([, f, file, n]) => `${f} ${file}:${n}`),
    );
  }
  return { samples, lines };
}

/** A port of the loopback interface on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

if (requireGo(t)) {
  for (const sample of ['labels.gsp', 'queue.gsp', 'arm64.gsp', 'core.gz']) {
    t.test(`export pprof: every goroutine of ${sample} is a sample with its stack, wait and labels`, async (t) => {
      const target = join(SAMPLES, sample);
      const goroutines = await goroutinesOf(target);
      const { samples, lines } = parseRaw(await pprof('-raw', await profileOf(temporaryFolder(t), target)));
      t.equal(samples.length, goroutines.length);
      const byGoid = new Map(samples.map((s) => [Number(s.labels['goid']), s]));
      for (const g of goroutines) {
        const read = byGoid.get(g.goid);
        const expected = g.frames.map(({ func, file, line }) => `${func} ${file}:${line}`);
        const got = read?.locations.flatMap((id) => lines.get(id) ?? []) ?? [];
        t.same(got.slice(0, expected.length), expected, `the stack of ${g.goid}`);
        t.equal(got.length - expected.length, g.truncated === null ? 0 : 1, 'says where a stack ends early');
        t.equal(
          read?.locations.length,
          g.frames.filter(({ inlined }) => !inlined).length + got.length - expected.length,
        );
        t.same(read?.values, [1, g.waitSinceNs ?? 0]);
        t.same(read?.labels, {
          ...g.labels,
          ...{ goid: String(g.goid), status: g.status },
          ...(g.parentGoid === null ? {} : { parent_goid: String(g.parentGoid) }),
          ...(g.waitReason === null ? {} : { wait_reason: g.waitReason }),
        });
      }
    });
  }

  t.test('export pprof: -top, -peek, -tags, -tagfocus and -traces agree with the list', async (t) => {
    const target = join(SAMPLES, 'labels.gsp');
    const goroutines = await goroutinesOf(target);
    const path = await profileOf(temporaryFolder(t), target);
    const withFunc = (func: string): number =>
      goroutines.filter(({ frames }) => frames.some((frame) => frame.func === func)).length;
    const top = await pprof('-top', '-nodefraction=0', '-edgefraction=0', path);
    t.match(top, /^Type: goroutine$/m, 'counts unless asked otherwise');
    for (const [func, count] of cumulated(top, /./)) t.equal(count, withFunc(func), func);
    t.ok(cumulated(top, /./).size > 20);
    t.match(await pprof('-top', '-sample_index=wait', path), /^Type: wait$/m);
    t.match(
      await pprof('-peek', 'main\\.receive$', path),
      new RegExp(`\\b${withFunc('main.receive')} .*main\\.receive`),
    );
    t.match(await pprof('-tags', path), / tenant: Total 2 of 20 /);
    t.match(await pprof('-tags', '-tagfocus=goid=18:20', path), / goid: Total 3 of /);
    const traces = await pprof('-traces', path);
    t.equal(traces.match(/^-{5,}\+/gm)?.length, goroutines.length + 1);
    t.ok(traces.includes('runtime.goparkunlock (inline)'), 'inlined calls are told');
    t.match(await pprof('-raw', path), /^1: 0x400000\/0x\w+\/0x0 \S*\/sample /m, 'the mapping of the executable');
  });

  t.test("export pprof: pprof's own page shows it", async (t) => {
    const path = await profileOf(temporaryFolder(t), join(SAMPLES, 'labels.gsp'));
    const port = await freePort();
    const args = ['tool', 'pprof', '-symbolize=none', '-no_browser', `-http=127.0.0.1:${port}`, path];
    const env = { ...process.env, GOTOOLCHAIN: 'local' };
    const server = spawn('go', args, { env, detached: true, stdio: 'ignore' });
    t.teardown(() => process.kill(-(server.pid ?? 0), 'SIGKILL'));
    const url = `http://127.0.0.1:${port}/ui/`;
    // It says that it serves before it does.
    await eventually(() => fetch(url + 'top').catch(() => null), "pprof's page");
    for (const page of ['flamegraph', 'top', 'peek?f=receive']) {
      const answer = await fetch(url + page);
      t.equal(answer.status, 200, page);
      t.ok((await answer.text()).includes('main.receive'), page);
    }
  });

  t.test('export pprof: merged samples have the sums, and no goroutine id', async (t) => {
    const target = join(SAMPLES, 'labels.gsp');
    const goroutines = await goroutinesOf(target, '--no-system');
    const folder = temporaryFolder(t);
    for (const option of ['--merge', '--for-store']) {
      const { samples } = parseRaw(await pprof('-raw', await profileOf(folder, target, '--no-system', option)));
      const sum = (i: number): number => samples.reduce((total, { values }) => total + (values[i] ?? 0), 0);
      t.equal(sum(0), goroutines.length);
      t.equal(sum(1), goroutines.reduce((total, { waitSinceNs }) => total + (waitSinceNs ?? 0), 0)); // prettier-ignore
      t.ok(samples.length < goroutines.length, `${samples.length} samples`);
      for (const { labels } of samples) t.notOk('goid' in labels || 'parent_goid' in labels);
      t.ok(samples.some(({ labels }) => labels['tenant'] === 'blue'));
    }
  });

  t.test("export pprof: counts the program's functions as its own profile does", async (t) => {
    const cell = PROFILED_CELLS.find(({ release }) => release === '1.27');
    if (cell === undefined) throw new Error('no such program');
    const program = await startGo(t, await buildGo(cell));
    const address = /ready (\S+)/.exec(program.stdout)?.[1] ?? '';
    await untilQuiet(program.pid);
    const folder = temporaryFolder(t);
    const ours = await profileOf(folder, '--pid', String(program.pid), '--no-system');
    const own = join(folder, 'own.pb.gz');
    const answer = await fetch(`http://${address}/debug/pprof/goroutine`);
    writeFileSync(own, Buffer.from(await answer.arrayBuffer()));
    const flags = ['-top', '-nodefraction=0', '-edgefraction=0'];
    const main = cumulated(await pprof(...flags, ours), /^main\./);
    t.same(main, cumulated(await pprof(...flags, own), /^main\./));
    t.ok(main.size > 5);
  });

  t.test('export: hostile names in a program arrive as text in every format', async (t) => {
    const program = await startGo(t, await buildGo(ODD_CELL));
    const path = join(temporaryFolder(t), 'odd.gsp');
    t.match(await gospy(['capture', '--pid', String(program.pid), '-o', path]), { code: 0 });
    program.signal('SIGKILL');
    const labels = JSON.parse(program.stdout.replace(/^ready /, '')) as object;
    const own = (await goroutinesOf(path)).filter((g) => Object.keys(g.labels).length > 0);
    t.equal(own.length, 3);
    for (const g of own) t.same(Object.entries(g.labels), Object.entries(labels).sort());
    t.ok(own.some(({ frames }) => frames.some(({ func }) => func === `main.${LONG_NAME}`)));
    await checkFormats(t, path);
    const top = await pprof('-raw', await profileOf(temporaryFolder(t), path));
    t.ok(top.includes(`main.${LONG_NAME} `) && top.includes('__proto__:[polluted]'), 'go tool pprof reads them');
  });

  t.test('export traceback: panicparse reads all goroutines; with labels it is what Go 1.27 prints', async (t) => {
    const target = join(SAMPLES, 'labels.gsp');
    const goroutines = await goroutinesOf(target);
    const path = join(temporaryFolder(t), 'traceback.txt');
    t.match(await gospy(['export', target, '--format', 'traceback', '-o', path]), { code: 0 });
    const child = spawn(await buildGo(PANICPARSE_CELL), { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end(readFileSync(path, 'utf8'));
    const parsed = JSON.parse(await text(child.stdout)) as { goid: number; frames: unknown[] }[];
    t.same(
      parsed.map(({ goid, frames }) => [goid, frames.length]).sort(),
      goroutines.map(({ goid, frames }) => [goid, frames.length]).sort(),
    );
    const { stdout } = await gospy(['export', target, '--format', 'traceback', '--labels']);
    t.match(stdout, /^goroutine \d+ \[chan receive\] \{request: 0, tenant: blue\}:$/m);
  });
}

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { GoroutineWithStack } from '../../analyze/report/model.js';
import type { PageDocument } from '../../src/web/document.js';
import { temporaryFolder } from '../support/gsp.js';
import { gospy, interruptedAt } from './gospy-process.js';
import { gospyHere } from './gospy-here.js';
import { documentIn } from './html-page.js';

/** The file that `export --format html` writes, without a browser. */

const SAMPLES = fileURLToPath(new URL('../../../snapshots/samples/', import.meta.url));
const sample = (name: string): string => join(SAMPLES, name);

async function exported(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await gospyHere(['export', ...args, '--format', 'html']);
  t.equal(code, 0, stderr);
  return stdout;
}

/** The goroutines of a page in the form of `goroutines --json`, as far as it has them. */
function goroutinesIn({ strings, locs, stacks, capture }: PageDocument): object[] {
  const text = (n: number | undefined): string | null => strings[n ?? -1] ?? null;
  const place = (n: number | undefined): object | null => {
    const loc = locs[n ?? -1];
    return loc === undefined ? null : { func: text(loc[0]), file: text(loc[1]), line: loc[2] };
  };
  const { goroutines, labelSets, workSets } = capture;
  return goroutines.goid.map((goid, row) => {
    const stack = stacks[goroutines.stack[row] ?? -1];
    const labels = labelSets[goroutines.labels[row] ?? -1] ?? [];
    const flags = goroutines.flags[row] ?? 0;
    const wait = goroutines.waitSinceNs[row] ?? -1;
    const parent = goroutines.parentGoid[row] ?? 0;
    const thread = goroutines.threads.find(([at]) => at === row);
    return {
      goid,
      runtime: goroutines.runtime[row],
      status: text(goroutines.status[row]),
      waitReason: text(goroutines.waitReason[row]),
      waitSinceNs: wait < 0 ? null : wait,
      system: (flags & 1) !== 0,
      lockedToThread: (flags & 2) !== 0,
      torn: (flags & 4) !== 0,
      thread: thread === undefined ? null : { m: thread[1], tid: thread[2] },
      labels: Object.fromEntries(
        labels.flatMap((name, i) => (i % 2 === 0 ? [[text(name) ?? '', text(labels[i + 1]) ?? '']] : [])),
      ),
      work: (workSets[goroutines.work[row] ?? -1] ?? []).map(text),
      parentGoid: parent === 0 ? null : parent,
      creator: place(goroutines.creator[row]),
      entry: place(goroutines.entry[row]),
      current: place(goroutines.current[row]),
      user: place(stack?.user),
      frames: stack?.frames.map((frame) => ({ ...place(frame >> 1), inlined: frame % 2 === 1 })),
      truncated: text(stack?.truncated),
    };
  });
}

/** A copy without some fields. */
function without<T extends object, K extends keyof T>(from: T, ...names: readonly K[]): Omit<T, K> {
  return Object.fromEntries(Object.entries(from).filter(([name]) => !names.includes(name as K))) as Omit<T, K>;
}

/** Work that is told by what goroutines wait on, which a page shows as such. */
const WAITS = new Set(['chan', 'lock', 'timer']);

/** What `goroutines --json` says, without what differs between goroutines at the same lines. */
async function goroutinesOf(file: string, ...filters: readonly string[]): Promise<object[]> {
  const { stdout } = await gospyHere(['goroutines', file, '--json', ...filters]);
  const { goroutines } = JSON.parse(stdout) as { goroutines: GoroutineWithStack[] };
  type Loc = { readonly func: string; readonly file: string; readonly line: number } | null;
  const place = (loc: Loc): Loc => (loc === null ? null : { func: loc.func, file: loc.file, line: loc.line });
  return goroutines.map((g) => ({
    ...without(g, 'start', 'waitsOn', 'ancestors'),
    work: g.work
      .filter(({ kind }) => !WAITS.has(kind))
      .map(({ kind, text, sure }) => `${kind}: ${sure ? '' : 'probably '}${text}`),
    creator: place(g.creator),
    entry: place(g.entry),
    current: place(g.current),
    user: place(g.user),
    frames: g.frames.map((frame) => ({ ...place(frame), inlined: frame.inlined })),
  }));
}

t.test('html: the goroutines in a page are those of goroutines --json', async (t) => {
  const files = readdirSync(SAMPLES).filter((name) => /\.(gsp|gz)$/.test(name));
  t.ok(files.length > 8);
  for (const name of files) {
    const page = documentIn(await exported(sample(name)));
    const { schema, capture, earlier, changes } = page;
    t.match({ schema, earlier, changes }, { schema: 'gospy.page/1', earlier: null, changes: null });
    t.equal(capture.name, name);
    t.same(goroutinesIn(page), await goroutinesOf(sample(name)), name);
  }
});

t.test('html: the filters of goroutines say which goroutines a page lists', async (t) => {
  const filters = ['--no-system', '--status', 'waiting', '--func', 'worker'];
  const page = documentIn(await exported(sample('queue.gsp'), ...filters));
  const expected = await goroutinesOf(sample('queue.gsp'), ...filters);
  t.equal(expected.length, 16);
  t.same(goroutinesIn(page), expected);
  t.equal(page.capture.summary.goroutines.total, 27);
  const core = ['export', sample('queue.gsp'), '--format', 'core', '-o', join(temporaryFolder(t), 'x')];
  t.match(await gospyHere([...core, '--no-system']), { code: 2, stderr: /whole process/ });
});

t.test('html: the other reports in a page are those of the commands', async (t) => {
  for (const name of ['queue.gsp', 'labels.gsp', 'crash.gsp']) {
    const { capture } = documentIn(await exported(sample(name)));
    const json = async (command: string): Promise<object> =>
      JSON.parse((await gospyHere([command, sample(name), '--json'])).stdout) as object;
    const { summary, warnings, waits, leaks, threads } = capture;
    const { cycles } = waits;
    t.match(await json('summary'), { ...summary, warnings }, name);
    t.match(await json('waits'), { cycles }, name);
    const proof = leaks.proof;
    const counts = leaks.groups.map(({ verdict, count, goids, evidence }) => ({ verdict, count, goids, evidence }));
    t.match(await json('leaks'), { proof, groups: counts }, name);
    t.match(await json('threads'), { threads: threads.map((thread) => without(thread, 'frames')) }, name);
  }
});

t.test('html: a page of two says what diff says', async (t) => {
  const [before, after] = [sample('before.gsp'), sample('after.gsp')];
  const { capture, earlier, changes } = documentIn(await exported(before, after));
  t.match([earlier?.name, capture.name], ['before.gsp', 'after.gsp']);
  const { stdout } = await gospyHere(['diff', before, after, '--json']);
  interface Diff {
    readonly relation: object;
    readonly goroutines: Readonly<Record<'started' | 'ended' | 'moved' | 'parked' | 'returned', readonly object[]>>;
  }
  const { relation, goroutines } = JSON.parse(stdout) as Diff;
  t.same(changes?.relation, relation);
  for (const list of ['started', 'ended', 'moved'] as const) {
    const shown = changes?.lists?.[list].shown.map(({ goid }) => goid);
    t.match(
      goroutines[list],
      shown?.map((goid) => ({ goid })),
      list,
    );
    t.equal(changes?.lists?.[list].length, goroutines[list].length);
  }
  t.match(changes, { returned: goroutines.returned.length, parked: goroutines.parked.length });
});

t.test('html: the policy of a page lets in its own script and style, by their hashes, and nothing else', async (t) => {
  const html = await exported(sample('queue.gsp'));
  const [, policy = ''] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html) ?? [];
  const hash = (text = ''): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const [, style] = /<style>([^]*?)<\/style>/.exec(html) ?? [];
  const scripts = [...html.matchAll(/<script>([^]*?)<\/script>/g)];
  t.equal(scripts.length, 1);
  t.equal(
    policy,
    `default-src 'none'; script-src ${hash(scripts[0]?.[1])}; style-src ${hash(style)}; base-uri 'none'; form-action 'none'`,
  );
  t.match(html, /^[\n -~]*$/, 'plain ASCII, whatever is done to it on the way');
  t.match(
    scripts[0]?.[1],
    /^\/\*\n@dagrejs\/dagre [^]*\npreact [^]*Permission is hereby granted/,
    'with the licences in it',
  );
  t.notMatch(html.replaceAll(/<script[^]*?<\/script>|<style[^]*?<\/style>/g, ''), /\b(src|href|url|import)\b *[=(:]/);
});

t.test('html: it goes to a file, or to standard output', async (t) => {
  const path = join(temporaryFolder(t), 'page.html');
  writeFileSync(path, 'old');
  const { code, stdout, stderr } = await gospy(['export', sample('queue.gsp'), '--format', 'html', '-o', path]);
  t.match({ code, stderr }, { code: 0, stderr: '' });
  t.match(stdout, /page\.html: \d+ kB, 27 goroutines\n$/);
  t.equal(readFileSync(path, 'utf8'), (await gospy(['export', sample('queue.gsp'), '--format', 'html'])).stdout);
  t.equal(statSync(path).mode & 0o777, 0o600);
});

t.test('html: what cannot be written is an error, and nothing is left behind', async (t) => {
  const folder = temporaryFolder(t);
  const page = ['export', sample('queue.gsp'), '--format', 'html'];
  t.match(await gospyHere([...page, '-o', folder]), { code: 5 });
  t.match(await gospyHere([...page, '-o', join(folder, 'none', 'x')]), { code: 5 });
  t.match(await gospy(page, { stdoutPath: '/dev/full' }), { code: 5, stderr: /no space is left/ });
  t.match(await interruptedAt('file', 'SIGINT', [...page, '-o', join(folder, 'x')]), { code: 130 });
  t.same(readdirSync(folder), []);
});

t.test('html: two targets at most, and of html alone', async (t) => {
  const [a, b] = [sample('before.gsp'), sample('after.gsp')];
  t.match(await gospyHere(['export', a, b, '--format', 'core', '-o', 'x']), { code: 2, stderr: /after\.gsp/ });
  t.match(await gospyHere(['export', '--format', 'html']), { code: 2 });
  t.match(await gospyHere(['export', a, b, '--pid', '1', '--format', 'html']), { code: 2 });
});

t.test('html: the title of a page is text, whatever the file is called', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, '<title>&\u202e.gsp');
  writeFileSync(path, readFileSync(sample('queue.gsp')));
  t.match(await exported(path), '<title>&#60;title&#62;&#38;.gsp: goroutines</title>');
});

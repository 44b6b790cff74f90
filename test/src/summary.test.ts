import { join } from 'node:path';
import t from 'tap';
import { buildView } from '../../analyze/report/live-view.js';
import { Sampler } from '../../capture/copy/sampler.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { FLOW } from '../support/releases.js';
import { gospy } from './gospy-process.js';

const folder = temporaryFolder(t);

interface Document {
  ps: { status: string; runqsize: number; sinceScheduledNs: number | null }[];
  sched: { gcPhase: string | null };
  goroutines: { total: number; syscall: number };
  findings: { code: string; count: number; goids: number[]; message: string }[];
  longestWaits: { goid: number; waitSinceNs: number; waitReason: string; entry: { func: string } }[];
}

async function summary(...target: string[]): Promise<{ document: Document; text: string }> {
  const json = await gospy(['summary', ...target, '--json']);
  const text = await gospy(['summary', ...target, '--limit', '1']);
  if (json.code !== 0 || text.code !== 0) throw new Error(json.stderr + text.stderr);
  return { document: JSON.parse(json.stdout) as Document, text: text.stdout };
}

if (requireGo(t)) {
  t.test('summary: says nothing where nothing stands out', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    const { document, text } = await summary('--pid', String(program.pid));
    t.same(document.findings, []);
    t.equal(document.sched.gcPhase, 'off');
    t.match(text, /^Run queues: 0 global, 0 local; idle: \d+ Ps, \d+ Ms; spinning: 0 Ms$/m);
    t.match(text, /^GC: off$/m);
    t.notMatch(text, /Look here first/);
    t.notMatch(text, /Longest waits/, 'no collection has stamped a wait yet');
  });

  t.test('summary: points at thousands of equal stacks, at one wait, and at the longest waits', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    await program.ask('crowd 3000');
    await program.ask('collect');
    const path = join(folder, 'crowd.gsp');
    t.equal((await gospy(['capture', '--pid', String(program.pid), '-o', path])).code, 0);
    const { document, text } = await summary(path);
    const [equal, wait] = document.findings;
    t.match(equal, { code: 'equal-stacks', count: 3000 });
    t.match(equal?.message, /^3000 of 30\d\d goroutines were started as main\.crowded .* at main\.crowded \(/);
    t.equal(equal?.goids.length, 10);
    t.match(wait, { code: 'shared-wait', count: 3020 });
    t.match(wait?.message, /share one wait: chan receive$/);
    t.match(text, /^Look here first: 3000 of /m);
    t.equal(document.longestWaits.length, 5);
    for (const { waitSinceNs, waitReason, entry } of document.longestWaits) {
      t.ok(waitSinceNs > 0 && waitSinceNs < 60e9, 'since the collections began');
      t.equal(waitReason, 'chan receive');
      t.match(entry.func, /^main\./);
    }
    t.match(text, /^Longest waits: goroutine \d+ [\d.]+ \S+\+ for chan receive in main\./m);
  });

  t.test('summary: knows the phase of the garbage collection', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    await program.ask('collect');
    const sampler = new Sampler(program.pid);
    t.teardown(() => sampler.close());
    const seen = new Set<string | null>();
    while (!seen.has('mark')) {
      seen.add(buildView(sampler.look(), { by: { kind: 'start' }, open: null, goid: null }).summary.sched.gcPhase);
    }
    t.notOk(seen.has(null), 'it is always known');
  });

  t.test('summary: says when all Ps are in system calls', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now), { env: { GOMAXPROCS: '1' } });
    await program.ask('nap 1');
    const sampler = new Sampler(program.pid);
    t.teardown(() => sampler.close());
    for (;;) {
      const { summary: seen } = buildView(sampler.look(), { by: { kind: 'start' }, open: null, goid: null });
      const finding = seen.findings.find(({ code }) => code === 'all-in-syscalls');
      t.equal(finding !== undefined, seen.ps[0]?.status === 'syscall');
      if (finding === undefined) continue;
      t.match(finding, { count: 1, message: /^all 1 Ps are in system calls/ });
      break;
    }
  });

  t.test('summary: says when goroutines queue for processors', async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'busy', release: '1.26', link: 'stripped' }));
    for (;;) {
      const { document, text } = await summary('--pid', String(program.pid));
      const queued = document.findings.find(({ code }) => code === 'long-run-queues');
      if (queued === undefined) continue;
      t.ok(queued.count >= 4 * document.ps.length);
      t.match(text, /^Run queues: \d+ global, \d+ local/m);
      break;
    }
  });
}

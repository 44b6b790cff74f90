import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { buildView } from '../../analyze/report/live-view.js';
import type { Summary } from '../../analyze/report/model.js';
import { ProcessSampler } from '../../capture/copy/process-sampler.js';
import { eventually } from '../support/eventually.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { FLOW } from '../support/releases.js';
import { gospy } from './gospy-process.js';

const folder = temporaryFolder(t);

const SYS_NANOSLEEP = process.arch === 'arm64' ? 101 : 35;
/** How long a goroutine of the fixture `flow` sleeps in a system call. */
const NAP_NS = 200_000n;
/** Goroutines of the fixture `busy` that can be runnable: its spinners, and one for each message under way. */
const BUSY_RUNNABLE = 4 + 20 * 5;

interface Document {
  ps: { status: string; runqsize: number; sinceScheduledNs: number | null }[];
  sched: { gcPhase: string | null };
  goroutines: { total: number; syscall: number; runnable: number };
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
    t.match(wait?.message, /wait for the same reason: chan receive, 3000 of them started as main\.crowded$/);
    t.match(text, /^Look here first: 3000 of /m);
    t.equal(document.longestWaits.length, 5);
    for (const { goid, waitSinceNs, waitReason, entry } of document.longestWaits) {
      t.ok(waitSinceNs > 0 && waitSinceNs < 60e9, 'since the collections began');
      // Collections stamp goroutines in system calls too: main has read its input since then if the first began late.
      if (goid === 1) continue;
      t.equal(waitReason, 'chan receive');
      t.match(entry.func, /^main\./);
    }
    t.match(text, /^Longest waits: .*goroutine \d+ [\d.]+ \S+\+ for chan receive in main\./m);
  });

  t.test('summary: knows the phase of the garbage collection', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now));
    await program.ask('collect');
    const look = startLooking(t, program);
    const seen = new Set<string | null>();
    const phase = (): 'mark' | null => {
      seen.add(look().sched.gcPhase);
      return seen.has('mark') ? 'mark' : null;
    };
    await eventually(phase, 'the phase mark', () => [...seen].join());
    t.notOk(seen.has(null), 'it is always known');
  });

  t.test('summary: says when all Ps are in system calls, and the kernel agrees', async (t) => {
    const program = await startGo(t, await buildGo(FLOW.now), { env: { GOMAXPROCS: '1' } });
    await program.ask('nap 1');
    const look = startLooking(t, program);
    let last = '';
    // While SIGSTOP holds the program still, gospy and the kernel look at the same state.
    const found = await eventually(
      async () => {
        program.signal('SIGSTOP');
        await eventually(() => (isStopped(program.pid) ? true : null), `SIGSTOP of process ${program.pid}`);
        const summary = look();
        const napping = isNapping(program.pid);
        program.signal('SIGCONT');
        last = JSON.stringify(summary.ps);
        const finding = summary.findings.find(({ code }) => code === 'all-in-syscalls') ?? null;
        if (finding !== null) t.ok(napping, 'the kernel has a thread in the system call');
        return finding;
      },
      'a P in a system call',
      () => last,
    );
    t.match(found, { count: 1, message: /^all 1 Ps are in system calls/ });
  });

  t.test('summary: says when goroutines queue for processors', async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'busy', release: '1.26', link: 'stripped' }));
    let last = '';
    const { document, text, queued } = await eventually(
      async () => {
        const said = await summary('--pid', String(program.pid));
        last = said.text;
        const queued = said.document.findings.find(({ code }) => code === 'long-run-queues');
        return queued === undefined ? null : { ...said, queued };
      },
      'long run queues',
      () => last,
    );
    // The runnext of a P is runnable but in no queue.
    const { runnable } = document.goroutines;
    t.ok(queued.count <= runnable && queued.count >= runnable - document.ps.length, `${runnable} are runnable`);
    t.ok(queued.count <= BUSY_RUNNABLE, 'no more than the program ever makes runnable');
    t.match(text, /^Run queues: \d+ global, \d+ local/m);
  });
}

/** Returns a function that summarizes a program without stopping it. */
function startLooking(t: Test, { pid }: GoProcess): () => Summary {
  const sampler = new ProcessSampler(pid);
  t.teardown(() => sampler.close());
  return () => buildView(sampler.look()[0], { by: { kind: 'start' }, open: null, goid: null }).summary;
}

function tasks(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((tid) => `/proc/${pid}/task/${tid}`);
}

function isStopped(pid: number): boolean {
  return tasks(pid).every((task) => /^State:\s+T/m.test(readFileSync(`${task}/status`, 'utf8')));
}

/** Returns whether, by the kernel's account, a thread is in the system call of the fixture's napper. */
function isNapping(pid: number): boolean {
  return tasks(pid).some((task) => {
    const [number, request] = readFileSync(`${task}/syscall`, 'utf8').split(' ');
    return Number(number) === SYS_NANOSLEEP && request !== undefined && timespecAt(pid, Number(request)) === NAP_NS;
  });
}

function timespecAt(pid: number, address: number): bigint {
  const bytes = Buffer.alloc(16);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    readSync(memory, bytes, 0, bytes.length, address);
  } finally {
    closeSync(memory);
  }
  return bytes.readBigUInt64LE(0) * 1_000_000_000n + bytes.readBigUInt64LE(8);
}

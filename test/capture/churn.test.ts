import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import type { GoProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToImage, type CaptureMode } from '../../capture/capture.js';
import { Copies } from '../../capture/copy/copies.js';
import { Copy } from '../../capture/copy/copy.js';
import { planLive, surveyLive } from '../../capture/copy/look-again.js';
import { ProcessSampler } from '../../capture/copy/process-sampler.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import { addr } from '../../snapshots/address.js';
import { ExitCode, GospyError } from '../../snapshots/errors.js';
import { LayeredSource, Memory, SegmentSource } from '../../snapshots/memory.js';
import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo, type GoProcess } from '../support/go.js';
import { CHURN, cellName, type Cell } from '../support/releases.js';
import { NO_PID, patient, thrownBy, until } from './targets.js';

const LOOKS = FULL_SIZE ? 10_000 : 80;
const STARTS = FULL_SIZE ? 200 : 8;
const CAPTURES = FULL_SIZE ? 50 : 4;

t.setTimeout(3_600_000);

const NEW_THREAD = { name: 'new', state: 'R', registers: null };

function open(t: { teardown(end: () => void): void }, pid: number): LiveProcess {
  const target = new LiveProcess(pid, 'stop');
  t.teardown(() => target.close());
  return target;
}

/** The program as a copy shows it; code and its tables are read from the process. */
function programOf(copy: Copy): GoProgram {
  const { records, stacks, stored } = copy.contents;
  const { program } = copy.plan;
  const source = new LayeredSource([new SegmentSource([...records, ...stacks]), stored, program.memory.source]);
  return program.over({ memory: new Memory(source) });
}

async function churning(t: { teardown(end: () => void): void }, ms: number, threads: number): Promise<GoProcess> {
  return startGo(t, await buildGo(CHURN.now), { args: ['churn', String(ms), String(threads)] });
}

/** A copy of the process as it is now. */
function copyOf(target: LiveProcess): Copy {
  const [plan] = planLive(surveyLive(target, NO_DEBUG_INFO), target);
  if (plan === undefined) throw new Error('no plan');
  return new Copy(plan, target);
}

for (const [ms, threads] of [
  [3, 1],
  [2, 5],
  [1, 10],
] as const) {
  t.test(`churn: every thread has its M, and what runs a stack (${threads} threads every ${ms} ms)`, async (t) => {
    if (!requireGo(t)) return;
    const { pid } = await churning(t, ms, threads);
    const withoutM = new Set<number>();
    for (const mode of ['stop', 'clone'] as const) {
      for (let i = 0; i < CAPTURES; i++) {
        const { image, programs } = await captureToImage(pid, { mode, writer: 'test' });
        const [program] = programs;
        t.same(program.warnings, [], mode);
        t.equal(program.machines.at(-1)?.addr, program.globals.m0, 'the list of Ms ends with the first');
        // A busy machine may not let a thread trap in time. That is said of it, and it is the only thing that is.
        const unstopped = new Set(image.threads.filter((thread) => thread.registers === null).map(({ tid }) => tid));
        t.equal(image.capture.partial, unstopped.size > 0, mode);
        const withM = new Set(program.machines.map(({ procid }) => procid));
        // A thread that is beginning has none yet, and one that is ending none any more (mexit in proc.go).
        const without = image.threads.map(({ tid }) => tid).filter((tid) => !withM.has(tid));
        t.same(
          without.filter((tid) => withoutM.has(tid)),
          [],
          'threads that never have an M',
        );
        for (const tid of without) withoutM.add(tid);
        for (const { status, frames, truncated, thread } of listGoroutines(program, 'stack')) {
          if (status !== 'running' || (thread !== null && unstopped.has(thread.tid))) continue;
          t.equal(truncated, null);
          t.equal(frames.at(-1)?.func, 'runtime.goexit');
        }
      }
    }
  });
}

t.test('churn: without a stop, the list of Ms is whole and fits the threads', async (t) => {
  if (!requireGo(t)) return;
  const { pid } = await churning(t, 2, 50);
  for (let i = 0; i < CAPTURES; i++) {
    const { image, programs } = await captureToImage(pid, { mode: 'live', writer: 'test' });
    const [program] = programs;
    t.same([...program.warnings, ...image.capture.warnings], []);
    t.equal(program.machines.at(-1)?.addr, program.globals.m0);
    t.equal(image.capture.partial, false);
    const main = program.machines.find(({ procid }) => procid === pid);
    t.ok(main !== undefined && program.threadOf(main) !== null, 'the first thread has the first M');
  }
  const sampler = new ProcessSampler(pid);
  t.teardown(() => sampler.close());
  for (let i = 0; i < CAPTURES * 5; i++) {
    const [program] = sampler.look();
    t.equal(program.machines.at(-1)?.addr, program.globals.m0, 'a look of top');
    t.same(program.warnings, []);
  }
});

t.test('churn: threads that begin while the Ms are copied without a stop are no part of the look', async (t) => {
  if (!requireGo(t)) return;
  const program = await startGo(t, await buildGo(CHURN.now));
  const target = open(t, program.pid);
  const surveyed = surveyLive(target, NO_DEBUG_INFO);
  const copies = new Copies(surveyed, planLive(surveyed, target), target);
  await copies.prepare('if many');
  const known = target.tids();
  // As if gospy had lost its CPU between the two, long enough for new threads to begin.
  const late = [...target.threads(), { ...NEW_THREAD, tid: NO_PID, namespaceTid: NO_PID }];
  const look = (lists: Parameters<Copies['completeLive']>[0]): number[] =>
    copies.completeLive(lists).threads.map(({ tid }) => tid);
  // Of its own threads all that were known are seen, and perhaps some that the runtime has begun meanwhile.
  const isOfItsOwn = (seen: readonly number[], what: string): void => {
    const now = target.tids();
    t.same([...known.filter((tid) => !seen.includes(tid)), ...seen.filter((tid) => !now.includes(tid))], [], what);
  };
  isOfItsOwn(look({ tids: () => known, threads: () => late }), 'without the one that began later');
  // One that is not in the first list, and whose M was copied, is.
  isOfItsOwn(look({ tids: () => [], threads: () => target.threads() }), 'with those whose Ms were copied');
});

t.test('churn: in the stop, what is new since the plan is read, however much it is', async (t) => {
  if (!requireGo(t)) return;
  for (const cell of [CHURN.now, CHURN.old]) {
    const program = await startGo(t, await buildGo(cell));
    const target = open(t, program.pid);
    const copy = copyOf(target);
    t.equal(copy.isOutgrown(), false);
    // Each of these makes the runtime move a list, or map memory, or both.
    await program.ask('threads 60');
    await program.ask('goroutines 3000');
    await program.ask('procs 64');
    await program.ask('heap 128');
    t.equal(copy.isOutgrown(), true);
    copy.readAhead();
    const { threads } = withStopped(program.pid, patient, () => copy.readStopped([]));
    const seen = programOf(copy);
    t.equal(seen.processors.length, 64, `Ps (${cellName(cell)})`);
    const procids = new Set(seen.machines.map(({ procid }) => procid));
    t.same(
      threads.map(({ tid }) => tid).filter((tid) => !procids.has(tid)),
      [],
      'threads without an M',
    );
    const at = [...seen.goroutines()].filter((g) => seen.stackOf(g).truncated === null).length;
    t.ok(at >= 3060, `${at} goroutines with whole stacks`);
    t.same(seen.warnings, []);
    // And back: Ms that the plan knew are taken out of the list, from its middle.
    const later = copyOf(target);
    await program.ask('end');
    await program.ask('procs 2');
    later.readAhead();
    const stop = withStopped(program.pid, patient, () => later.readStopped([]));
    const left = programOf(later);
    t.equal(left.processors.length, 2);
    const live = new Set(left.machines.map(({ procid }) => procid));
    t.same(
      stop.threads.map(({ tid }) => tid).filter((tid) => !live.has(tid)),
      [],
    );
    t.same(left.warnings, []);
  }
});

t.test('churn: memory that is mapped after the first look can be read', async (t) => {
  if (!requireGo(t)) return;
  const program = await startGo(t, await buildGo(CHURN.now));
  const target = open(t, program.pid);
  const memory = target.memory();
  const at = addr(Number(await program.ask('heap 256')));
  t.equal(memory.u8(at), 42);
  t.equal(memory.has(at, 256 << 20), true);
  t.equal(memory.has(addr(0x1000), 8), false, 'what is nowhere stays absent');
});

/** Captures a program that began at most 10 ms ago. */
async function captureEarly(path: string, mode: CaptureMode, afterMs: number): Promise<string> {
  const child = spawn(path, ['churn', '2', '5'], { stdio: ['pipe', 'ignore', 'ignore'] });
  await once(child, 'spawn');
  const from = performance.now() + afterMs;
  while (performance.now() < from);
  try {
    const { programs } = await captureToImage(child.pid ?? NO_PID, { mode, writer: 'test' });
    return programs[0].warnings.map(({ message }) => message).join('; ');
  } catch (error) {
    return String(error);
  } finally {
    child.kill('SIGKILL');
  }
}

t.test('churn: a program can be captured from its first moment on', async (t) => {
  if (!requireGo(t)) return;
  for (const cell of [CHURN.now, CHURN.cgo]) {
    const path = await buildGo(cell);
    for (let i = 0; i < STARTS; i++) {
      const mode = i % 2 === 0 ? 'live' : 'stop';
      t.equal(await captureEarly(path, mode, (10 * i) / STARTS), '', `${mode}, start ${i} (${cellName(cell)})`);
    }
  }
});

t.test('churn: a program that has not started its runtime is told from one that has none', async (t) => {
  if (!requireGo(t)) return;
  const env = { CHURN_LATE: '1' };
  const program = await startGo(t, await buildGo(CHURN.cgo), { env, ready: /^waiting\n/m });
  for (const mode of ['stop', 'live'] as const) {
    const error = await captureToImage(program.pid, { mode, writer: 'test' }).catch((e: unknown) => e);
    t.ok(error instanceof GospyError && error.exitCode === ExitCode.noGoProcess, String(error));
    t.match(String(error), /whose runtime has not started yet/);
  }
  await program.ask('count');
  const { programs } = await captureToImage(program.pid, { mode: 'stop', writer: 'test' });
  t.same(programs[0].warnings, []);
});

t.test('churn: one thread that has ended is no reason to think of permissions', async (t) => {
  if (!requireGo(t)) return;
  const { pid } = await churning(t, 3, 1);
  const error = thrownBy(() => withStopped(pid, { ...patient, only: NO_PID }, () => 0));
  t.ok(error instanceof GospyError && error.exitCode === ExitCode.noGoProcess, String(error));
});

for (const cell of [CHURN.now, CHURN.old] satisfies Cell[]) {
  t.test(`churn: what is called waiting and runs is where its thread is (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const { pid } = await startGo(t, await buildGo(cell), { args: ['dump'] });
    const dumping = (program: GoProgram): string[] | null => {
      const found = [...listGoroutines(program, 'stack')].find(({ entry }) => entry?.func === 'main.dump.func1');
      const funcs = found?.status === 'waiting' ? found.frames.map(({ func }) => func) : [];
      return /^runtime\.write/.test(funcs[0] ?? '') && funcs.includes('runtime/debug.WriteHeapDump') ? funcs : null;
    };
    let funcs: string[] | null = null;
    await until(async () => {
      funcs = dumping((await captureToImage(pid, { mode: 'stop', writer: 'test' })).programs[0]);
      return funcs !== null;
    }, 'the dump to fill its pipe');
    // From then on it stands in write(2), called on the system stack, for the goroutine that asked for the dump.
    t.match(funcs, /runtime\.writeheapdump_m,.*runtime\/debug\.WriteHeapDump,main\.dump\.func1,runtime\.goexit$/);
    const { image, programs } = await captureToImage(pid, { mode: 'live', writer: 'test' });
    const [program] = programs;
    const onThreads = [...program.goroutines()].filter(({ status, m }) => status === 'waiting' && m !== 0);
    t.equal(onThreads.length, 1);
    for (const { addr } of onThreads)
      t.ok(image.capture.torn.includes(addr), 'without a stop it is torn: it is not parked');
  });

  t.test(`churn: no stack of ${LOOKS} looks without a stop is another's (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const { pid } = await startGo(t, await buildGo(cell), { args: ['collect'] });
    const target = open(t, pid);
    const wrong: string[] = [];
    let parked = 0;
    for (let looks = 0; looks < LOOKS;) {
      const copy = copyOf(target);
      for (let i = 0; i < 10; i++, looks++) {
        copy.readAhead();
        const torn = new Set(copy.completeLive());
        const program = programOf(copy);
        for (const g of program.goroutines()) {
          if (torn.has(g.addr)) continue;
          parked++;
          const { truncated, frames } = program.stackOf(g);
          if (truncated === null && frames.at(-1)?.point.func.name === 'runtime.goexit') continue;
          wrong.push(
            `goroutine ${g.goid}, ${g.status}, ${program.waitReasons.at(g.waitreason) ?? ''}: ${truncated ?? ''}`,
          );
        }
      }
    }
    t.same(wrong, []);
    t.ok(parked > LOOKS * 5, `${parked} parked goroutines`);
  });
}

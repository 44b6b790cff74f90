import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import tap, { test, type Test } from 'tap';
import { hostArch } from '../../capture/process/procfs.js';
import { withStopped, type Stop } from '../../capture/ptrace/stop.js';
import type { StoppedThread } from '../../capture/ptrace/tracee.js';
import { Moment, type Line } from './moment.js';
import { startStopper } from './stopper-process.js';
import { Target, buildC, isFree, sleep, soon, threadStates, thrownBy, tracers, until } from './targets.js';
import { FULL_SIZE } from '../support/full-size.js';
import { startLoad } from '../support/load.js';

const CPUS = availableParallelism();

const programs = buildC();
tap.teardown(() => programs.remove());
tap.setTimeout(1_800_000);

/** A logical stop that has all the time that a busy machine may need. */
function stop<T>(
  pid: number,
  body: (threads: readonly StoppedThread[]) => T,
  late: (thread: StoppedThread) => void = noLate,
): Stop<T> {
  const options = { arch: hostArch(), timeoutMs: 60_000, hardLimitSeconds: 90, realTime: true, late };
  return withStopped(pid, options, body);
}

function noLate(): void {
  // Its registers are enough.
}

async function runsOn(t: Test, target: Target): Promise<void> {
  await until(() => isFree(target.pid), 'all threads to be let go');
  await target.beatsOn();
  t.pass('it runs on');
}

/** More in `npm run test:survival`. */
const STOPS = FULL_SIZE ? 1000 : 40;

test(`late: registers and memory are of one moment (${STOPS} stops)`, async (t) => {
  startLoad(t, 2 * CPUS);
  const moment = await Moment.start(t, programs.moment, 'count', String(2 * CPUS));
  const wrong: unknown[] = [];
  let [late, compared] = [0, 0];
  for (let i = 0; i < STOPS; i++) {
    const trappedLater = new Set<number>();
    const result = stop(
      moment.pid,
      () => moment.read(),
      ({ tid }) => void trappedLater.add(tid),
    );
    const lines = moment.lines();
    for (const { tid, registers } of result.threads) {
      if (registers === null) wrong.push(`thread ${tid} has no registers`);
      const counter = registers === null ? null : moment.counterOf(registers);
      if (counter === null) continue;
      if (trappedLater.has(tid)) compared++;
      // A thread may stand between the instruction that counts and the one that writes.
      const ahead = counter.count - (lines[counter.line]?.count ?? NaN);
      if (ahead !== 0 && ahead !== 1) wrong.push({ tid, ahead, late: trappedLater.has(tid) });
    }
    late += result.lateThreads;
    await sleep(Math.random() * 5);
  }
  t.same(wrong, []);
  t.comment(`${late} late threads; ${compared} threads that trapped after the copy were compared`);
  t.ok(compared > 0);
});

test('late: what the kernel says of the pause is what the stop says of it', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '20');
  t.teardown(() => target.end());
  const { threads, pauseNs, lateThreads, longestLateNs } = stop(target.pid, () => tracers(target.pid));
  t.equal(threads.length, 23);
  t.ok(threads.every(({ registers, stopped }) => stopped && registers !== null));
  t.ok(pauseNs > 0);
  t.equal(longestLateNs > 0, lateThreads > 0);
  await runsOn(t, target);
});

test('late: threads that are born meanwhile are let go, and counted if they ran', async (t) => {
  startLoad(t, CPUS);
  const moment = await Moment.start(t, programs.moment, 'create', String(2 * CPUS));
  const torn: unknown[] = [];
  for (let i = 0; i < (FULL_SIZE ? 500 : 40); i++) {
    const twice = stop(moment.pid, () => {
      const first = (moment.read(), moment.lines());
      const end = performance.now() + 0.5;
      while (performance.now() < end);
      moment.read();
      return [first, moment.lines()] as const;
    }).value;
    if (JSON.stringify(twice[0], text) !== JSON.stringify(twice[1], text)) torn.push(twice);
    await until(() => isFree(moment.pid), 'all threads to be let go');
  }
  t.same(torn, []);
  await goesOn(t, moment);
});

function text(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

async function goesOn(t: Test, moment: Moment): Promise<void> {
  const counts = (): number => (moment.read(), moment.lines().reduce((sum, { count }: Line) => sum + count, 0));
  const before = counts();
  await until(() => counts() > before, 'the threads to count on');
  t.pass('it goes on');
}

test('late: no signal is lost, and each arrives once with its value', async (t) => {
  startLoad(t, CPUS);
  const target = await Target.start(programs.c, 'sleepers', '6');
  t.teardown(() => target.end());
  const count = 6000;
  const args = ['send', String(target.pid), String(target.pid), String(count)];
  const sender = spawn(programs.c, args, { stdio: 'inherit' });
  const sent = new Promise((resolve) => sender.once('exit', resolve));
  await until(async () => {
    stop(target.pid, () => undefined);
    await sleep(1);
    return sender.exitCode !== null;
  }, 'all signals to be sent');
  t.equal(await soon(sent, 'the end of the sender'), 0);
  await until(async () => {
    const [a, b] = (await target.pulse()).counts;
    return a + b >= 2 * count;
  }, 'every signal to arrive');
  t.strictSame((await target.pulse()).counts, [count, count, 0]);
  await runsOn(t, target);
});

test('late: of a thread that no signal reaches, the registers are those that the kernel shows', async (t) => {
  const target = await Target.start(programs.c, 'vfork');
  t.teardown(() => target.end());
  await until(() => threadStates(target.pid).includes('D'));
  const tids = readdirSync(`/proc/${target.pid}/task`).map(Number);
  const vforker = tids[threadStates(target.pid).indexOf('D')] ?? 0;
  const children = tids.map((tid) => readFileSync(`/proc/${target.pid}/task/${tid}/children`, 'utf8').trim());
  const child = Number(children.find((one) => one !== ''));
  t.teardown(() => thrownBy(() => process.kill(child, 'SIGKILL')));
  const shown = readFileSync(`/proc/${target.pid}/task/${vforker}/syscall`, 'utf8').trim().split(' ');
  const late: number[] = [];
  const { threads } = stop(
    target.pid,
    () => undefined,
    ({ tid }) => void late.push(tid),
  );
  t.ok(late.includes(vforker), 'its stack can be read');
  const { stopped, registers } = threads.find(({ tid }) => tid === vforker) ?? {};
  t.equal(stopped, false);
  if (hostArch() === 'amd64') {
    t.same([registers?.sp, registers?.pc], [BigInt(shown.at(-2) ?? 0), BigInt(shown.at(-1) ?? 0)]);
  } else {
    t.equal(registers, null);
  }
  t.ok(threads.filter(({ tid }) => tid !== vforker).every((thread) => thread.stopped));
  await target.beatsOn();
  process.kill(child, 'SIGKILL');
  await runsOn(t, target);
});

test('late: a process that was stopped by SIGSTOP stays so, until SIGCONT', async (t) => {
  startLoad(t, CPUS);
  const target = await Target.start(programs.c, 'sleepers', '3');
  t.teardown(() => target.end());
  process.kill(target.pid, 'SIGSTOP');
  await until(() => threadStates(target.pid).every((state) => state === 'T'));
  for (let i = 0; i < 20; i++) t.ok(stop(target.pid, () => undefined).threads.every(({ stopped }) => stopped));
  await until(() => threadStates(target.pid).every((state) => state === 'T'));
  t.ok(tracers(target.pid).every((tracer) => tracer === 0));
  process.kill(target.pid, 'SIGCONT');
  await runsOn(t, target);
});

test('late: the threads are let go if the body, or what is done with late threads, throws', async (t) => {
  startLoad(t, 2 * CPUS);
  const moment = await Moment.start(t, programs.moment, 'count', String(2 * CPUS));
  const fail = (): never => {
    throw new Error('in the middle');
  };
  t.throws(() => stop(moment.pid, fail), { message: 'in the middle' });
  await until(() => isFree(moment.pid));
  await until(() => thrownBy(() => stop(moment.pid, () => undefined, fail)) !== undefined, 'a late thread');
  await until(() => isFree(moment.pid));
  await goesOn(t, moment);
});

test('late: a process without its first thread', async (t) => {
  const target = await Target.start(programs.c, 'leaderless');
  t.teardown(() => target.end());
  await until(() => threadStates(target.pid)[0] === 'Z');
  const { threads } = stop(target.pid, () => undefined);
  t.equal(threads.length, 2);
  t.ok(threads.every(({ tid, stopped }) => tid !== target.pid && stopped));
  await runsOn(t, target);
});

test('late: a process that is killed in the stop has ended', async (t) => {
  startLoad(t, CPUS);
  const target = await Target.start(programs.c, 'sleepers', '8');
  thrownBy(() => stop(target.pid, () => process.kill(target.pid, 'SIGKILL')));
  t.equal(await soon(target.exited, 'the end of the target'), 'SIGKILL');
});

test('late: a process that executes another program again and again is let go each time', async (t) => {
  startLoad(t, CPUS);
  const target = Target.spawn(programs.c, 'exec', '0');
  t.teardown(() => target.end());
  await target.line();
  const ends: unknown[] = ['SIGALRM', 0];
  for (let i = 0; i < (FULL_SIZE ? 50 : 6); i++) {
    // An execve between two SEIZEs is a deadlock within the kernel: then the stopper's own death must end it.
    const stopper = startStopper(target.pid, { count: 80, hardLimitSeconds: 1, logical: true, checked: true });
    t.ok(ends.includes(await soon(stopper.exited, 'the end of the stopper')));
  }
  const generation = Number(await target.line());
  while (Number(await target.line()) < generation + 100);
  t.ok(tracers(target.pid).every((tracer) => tracer === 0));
});

for (const signal of ['SIGKILL', 'SIGINT'] as const) {
  test(`late: a tracer that is ended by ${signal} at any moment leaves the process running`, async (t) => {
    const target = await Target.start(programs.c, 'spinners', String(2 * CPUS));
    t.teardown(() => target.end());
    for (let i = 0; i < (FULL_SIZE ? 100 : 4); i++) {
      const stopper = startStopper(target.pid, { count: 1_000_000, holdMs: i % 3, logical: true });
      await soon(stopper.begun, 'the first stop');
      await sleep(Math.random() * 20);
      stopper.child.kill(signal);
      t.equal(await soon(stopper.exited, 'the end of the stopper'), signal);
      await until(() => isFree(target.pid));
      await target.beatsOn();
    }
  });
}

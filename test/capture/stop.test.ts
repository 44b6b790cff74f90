import { readdirSync, readFileSync } from 'node:fs';
import tap, { test, type Test } from 'tap';
import { hostArch } from '../../capture/process/procfs.js';
import { Tracees } from '../../capture/ptrace/tracees.js';
import { withStopped, type Stop } from '../../capture/ptrace/stop.js';
import type { StoppedThread } from '../../capture/ptrace/tracee.js';
import { temporaryFolder } from '../support/gsp.js';
import { startStopper } from './stopper-process.js';
import {
  NO_PID,
  Target,
  buildC,
  isFree,
  patient,
  sleep,
  soon,
  thrownBy,
  threadStates,
  tracers,
  until,
} from './targets.js';

const programs = buildC();
tap.teardown(() => programs.remove());

function stop<T>(target: Target, body: (threads: readonly StoppedThread[]) => T): Stop<T> {
  return withStopped(target.pid, patient, body);
}

async function runsOn(t: Test, target: Target): Promise<void> {
  t.ok(isFree(target.pid), 'untraced, and no thread is stopped');
  await target.beatsOn();
}

test('stop: stops every thread, and lets each run again', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '20');
  t.teardown(() => target.end());
  const { value, threads, pauseNs } = stop(target, () => [threadStates(target.pid), tracers(target.pid)]);
  t.strictSame(value, [Array<string>(23).fill('t'), Array<number>(23).fill(process.pid)]);
  t.equal(threads.length, 23);
  t.ok(threads.every(({ stopped }) => stopped));
  t.ok(pauseNs > 0);
  await runsOn(t, target);
});

test('stop: the stated pause covers all the time that the threads stood still', async (t) => {
  const target = await Target.start(programs.c, 'spinners', '2');
  t.teardown(() => target.end());
  const { pauseNs } = stop(target, () => {
    const end = performance.now() + 150;
    while (performance.now() < end);
  });
  t.ok(pauseNs >= 150e6);
  const { longestGapNs } = await target.beatsOn();
  t.ok(longestGapNs >= 150e6, 'by its own clock too');
  await runsOn(t, target);
});

test('stop: registers are what the kernel shows for a thread in a system call', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '5');
  t.teardown(() => target.end());
  const { value } = stop(target, (threads) =>
    threads.map(({ tid, registers }) => {
      const [, sp = '', pc = ''] =
        / (0x[0-9a-f]+) (0x[0-9a-f]+)\s*$/.exec(readFileSync(`/proc/${target.pid}/task/${tid}/syscall`, 'utf8')) ?? [];
      return { kernel: [BigInt(sp), BigInt(pc)], ours: [registers?.sp, registers?.pc] };
    }),
  );
  t.equal(value.length, 8);
  for (const { kernel, ours } of value) t.strictSame(ours, kernel);
  await runsOn(t, target);
});

test('stop: stops all threads even while new ones are born', async (t) => {
  const target = await Target.start(programs.c, 'churn', '6');
  t.teardown(() => target.end());
  for (let i = 0; i < 100; i++) {
    const { value } = stop(target, () => threadStates(target.pid).filter((state) => !'tXZ'.includes(state)));
    t.strictSame(value, []);
    await sleep(1);
  }
  await runsOn(t, target);
});

test('stop: stops a thread too that is not in each list of the threads', async (t) => {
  for (const logical of [false, true]) {
    const target = await Target.start(programs.c, 'spinners', '2');
    t.teardown(() => target.end());
    const under = ['env', `LD_PRELOAD=${programs.shortLists}`];
    const stopper = startStopper(target.pid, { count: 1, hardLimitSeconds: 600, holdMs: 600_000, logical }, under);
    t.teardown(() => stopper.child.kill('SIGKILL'));
    await until(() => threadStates(target.pid).every((state) => state === 't'), 'all threads to stop');
    stopper.child.kill('SIGKILL');
    await soon(stopper.exited, 'the end of the stopper');
    await runsOn(t, target);
  }
});

test('stop: a thread that gets the id of one that has just ended is let go too', async (t) => {
  const target = await Target.start(programs.c, 'reuse');
  t.teardown(() => target.end());
  let isSame = false;
  for (let tries = 0; tries < 200 && !isSame; tries++) {
    const tracees = new Tracees(target.pid, hostArch());
    try {
      tracees.seizeAll();
      target.child.stdin?.write('end\n');
      const ended = await target.line();
      await until(() => {
        tracees.look(performance.now());
        return !readdirSync(`/proc/${target.pid}/task`).includes(ended);
      }, `thread ${ended} to be collected`);
      target.child.stdin?.write('begin\n');
      await until(() => threadStates(target.pid).includes('t'), 'the birth of another thread');
      tracees.look(performance.now());
      tracees.seizeNew(false);
      const ids = tracees.threads().map(({ tid }) => tid);
      t.equal(new Set(ids).size, ids.length, 'each thread is traced once');
    } finally {
      tracees.release();
      tracees.settle();
    }
    await until(() => isFree(target.pid), 'all threads to be let go');
    isSame = (await target.line()) === 'same';
  }
  t.ok(isSame, 'an id was given again');
});

test('stop: lets the threads go if the body throws', async (t) => {
  const target = await Target.start(programs.c, 'spinners', '1');
  t.teardown(() => target.end());
  t.throws(
    () =>
      stop(target, () => {
        throw new Error('in the middle');
      }),
    { message: 'in the middle' },
  );
  await runsOn(t, target);
});

test('stop: a process that was stopped by SIGSTOP stays so, until SIGCONT', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '3');
  t.teardown(() => target.end());
  process.kill(target.pid, 'SIGSTOP');
  await until(() => threadStates(target.pid).every((state) => state === 'T'));
  for (let i = 0; i < 20; i++) {
    const { threads } = stop(target, () => undefined);
    t.ok(threads.every(({ stopped }) => stopped));
  }
  await until(() => threadStates(target.pid).every((state) => state === 'T'));
  t.ok(tracers(target.pid).every((tracer) => tracer === 0));
  process.kill(target.pid, 'SIGCONT');
  await until(() => isFree(target.pid));
  await runsOn(t, target);
});

test('stop: a SIGSTOP that arrives during the stop takes effect after it', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '3');
  t.teardown(() => target.end());
  stop(target, () => process.kill(target.pid, 'SIGSTOP'));
  await until(() => threadStates(target.pid).every((state) => state === 'T'));
  process.kill(target.pid, 'SIGCONT');
  await until(() => isFree(target.pid));
  await runsOn(t, target);
});

test('stop: stops a process without its first thread', async (t) => {
  const target = await Target.start(programs.c, 'leaderless');
  t.teardown(() => target.end());
  await until(() => threadStates(target.pid)[0] === 'Z');
  const { threads } = stop(target, () => undefined);
  t.equal(threads.length, 2);
  t.ok(threads.every(({ tid, stopped }) => tid !== target.pid && stopped));
  await runsOn(t, target);
});

for (const mode of ['exec', 'exec-unseen']) {
  test(`stop: a process that executes another program again and again lives on (${mode})`, async (t) => {
    const target = Target.spawn(programs.c, mode, '0');
    t.teardown(() => target.end());
    await target.line();
    const ends: unknown[] = ['SIGALRM', 0];
    for (let i = 0; i < 3; i++) {
      // An execve between two SEIZEs is a deadlock within the kernel: then the stopper's own death must end it, long before a
      // stop would have to end. The second may be that of a thread that was found in the stop.
      const stopper = startStopper(target.pid, { count: 40, hardLimitSeconds: 600 });
      t.ok(ends.includes(await soon(stopper.exited, 'the end of the stopper')));
    }
    const generation = Number(await target.line());
    while (Number(await target.line()) < generation + 100);
    t.ok(tracers(target.pid).every((tracer) => tracer === 0));
  });
}

test('stop: a tracer that is stuck in the stop ends itself', async (t) => {
  const target = await Target.start(programs.c, 'spinners', '1');
  t.teardown(() => target.end());
  const stopper = startStopper(target.pid, { count: 1, hardLimitSeconds: 1, holdMs: 600_000 });
  t.equal(await soon(stopper.exited, 'the end of the stopper'), 'SIGALRM');
  await runsOn(t, target);
});

test('stop: Ctrl-Z in the stop does not leave the process standing', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '3');
  t.teardown(() => target.end());
  for (const signal of ['SIGTSTP', 'SIGTTIN', 'SIGTTOU'] as const) {
    const stopper = startStopper(target.pid, { count: 1, holdMs: 1000 }, [programs.c, 'job']);
    t.teardown(() => stopper.child.kill('SIGKILL'));
    await until(() => threadStates(target.pid).every((state) => state === 't'));
    stopper.child.kill(signal);
    await until(() => isFree(target.pid));
    await target.beatsOn();
    stopper.child.kill('SIGCONT');
    t.equal(await soon(stopper.exited, 'the end of the stopper'), 0, signal);
  }
});

test('stop: outside the stop, Ctrl-Z does what it always does', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '3');
  t.teardown(() => target.end());
  const stopper = startStopper(target.pid, { count: 1_000_000, pauseMs: 500 }, [programs.c, 'job']);
  t.teardown(() => stopper.child.kill('SIGKILL'));
  await soon(stopper.begun, 'the first stop');
  await until(() => {
    stopper.child.kill('SIGTSTP');
    return threadStates(stopper.child.pid ?? NO_PID).every((state) => state === 'T');
  });
  await target.beatsOn();
  t.ok(isFree(target.pid));
  stopper.child.kill('SIGKILL');
  await soon(stopper.exited, 'the end of the stopper');
});

test('stop: a tracer that crashes in the stop lets the process go, and writes no core file first', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '3');
  t.teardown(() => target.end());
  const cwd = temporaryFolder(t);
  const under = ['sh', '-c', 'ulimit -c unlimited; exec "$@"', 'sh'];
  const stopper = startStopper(target.pid, { count: 1, holdMs: 600_000 }, under, cwd);
  t.teardown(() => stopper.child.kill('SIGKILL'));
  await until(() => threadStates(target.pid).every((state) => state === 't'));
  t.match(readFileSync(`/proc/${stopper.child.pid ?? NO_PID}/limits`, 'utf8'), /Max core file size +unlimited/);
  stopper.child.kill('SIGSEGV');
  t.equal(await soon(stopper.exited, 'the end of the stopper'), 'SIGSEGV');
  t.same(readdirSync(cwd), []);
  await until(() => isFree(target.pid));
  await target.beatsOn();
});

for (const signal of ['SIGKILL', 'SIGINT'] as const) {
  test(`stop: a tracer that is ended by ${signal} at any moment leaves the process running`, async (t) => {
    const target = await Target.start(programs.c, 'sleepers', '12');
    t.teardown(() => target.end());
    for (let i = 0; i < 15; i++) {
      const stopper = startStopper(target.pid, { count: 1_000_000, holdMs: i % 3 });
      await soon(stopper.begun, 'the first stop');
      await sleep(Math.random() * 10);
      stopper.child.kill(signal);
      t.equal(await soon(stopper.exited, 'the end of the stopper'), signal);
      await until(() => isFree(target.pid));
      await target.beatsOn();
    }
  });
}

test('stop: a child of our own that is killed in the stop is reported to its parent', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '8');
  stop(target, () => process.kill(target.pid, 'SIGKILL'));
  t.equal(await soon(target.exited, 'the end of the target'), 'SIGKILL');
});

test('stop: a thread that cannot be stopped is reported, and let go as soon as it wakes up', async (t) => {
  const target = await Target.start(programs.c, 'vfork');
  t.teardown(() => target.end());
  await until(() => threadStates(target.pid).includes('D'));
  const vforker = threadStates(target.pid).indexOf('D');
  const child = vforkedChild(target.pid);
  t.teardown(() => thrownBy(() => process.kill(child, 'SIGKILL')));
  for (let i = 0; i < 3; i++) {
    const { threads } = stop(target, () => undefined);
    t.strictSame(
      threads.map(({ stopped }) => stopped),
      threads.map((_, index) => index !== vforker),
    );
    t.strictSame(
      threads.map(({ registers }) => registers === null),
      threads.map((_, index) => index === vforker),
    );
    await target.beatsOn();
  }
  process.kill(child, 'SIGKILL');
  await until(() => isFree(target.pid));
  t.notOk(threadStates(target.pid).includes('D'));
  await runsOn(t, target);
});

test('stop: reports that there is no such process', (t) => {
  t.match(
    thrownBy(() => withStopped(NO_PID, patient, () => undefined)),
    { exitCode: 3, message: /ended|no process/ },
  );
  t.end();
});

/** The one child of a process, whichever thread made it. */
function vforkedChild(pid: number): number {
  const children = readdirSync(`/proc/${pid}/task`).map((tid) =>
    readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8').trim(),
  );
  return Number(children.find((child) => child !== ''));
}

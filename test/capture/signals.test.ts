import { spawn } from 'node:child_process';
import tap, { test } from 'tap';
import { withStopped } from '../../capture/ptrace/stop.js';
import { Target, buildBusyGo, buildC, isFree, patient, sleep, soon, threadStates, tracers, until } from './targets.js';

const programs = buildC();
tap.teardown(() => programs.remove());

test('signals: every queued signal arrives once with its value, whether sent to the process or to a thread', async (t) => {
  const target = await Target.start(programs.c, 'sleepers', '6');
  t.teardown(() => target.end());
  const count = 12_000;
  const sender = spawn(programs.c, ['send', String(target.pid), String(target.pid), String(count)], {
    stdio: 'inherit',
  });
  const sent = new Promise<number | null>((resolve) => sender.once('exit', resolve));
  let stops = 0;
  await until(async () => {
    withStopped(target.pid, patient, () => {
      const end = performance.now() + (stops % 4) * 0.3;
      while (performance.now() < end);
    });
    stops++;
    await sleep(0);
    return sender.exitCode !== null;
  }, 'all signals to be sent');
  t.equal(await soon(sent, 'the end of the sender'), 0);
  t.ok(stops > 10, `${stops} stops in between`);
  await until(async () => {
    const [a, b] = (await target.pulse()).counts;
    return a + b >= 2 * count;
  }, 'every signal to arrive');
  t.strictSame((await target.pulse()).counts, [count, count, 0]);
  t.ok(isFree(target.pid));
});

test('signals: a Go program goes on preempting, handling signals and starting children', async (t) => {
  const target = await Target.start(buildBusyGo(programs.folder));
  t.teardown(() => target.end());
  for (let i = 0; i < 30; i++) {
    const { value, threads } = withStopped(target.pid, patient, () => threadStates(target.pid));
    // One thread may be the parent of a vfork, which nothing can stop.
    t.ok(threads.filter(({ stopped }) => !stopped).length <= 1);
    t.ok(value.filter((state) => !'tXZ'.includes(state)).length <= 1);
    const before = await target.beatsOn();
    await until(async () => (await target.pulse()).counts[0] > before.counts[0]);
  }
  const { counts } = await target.pulse();
  await until(async () => (await target.pulse()).counts[1] > counts[1] + 2);
  await until(() => isFree(target.pid));
  t.ok(tracers(target.pid).every((tracer) => tracer === 0));
});

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, getPriority, setPriority } from 'node:os';
import tap, { test, type Test } from 'tap';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { eventually } from '../support/eventually.js';
import { phasesOf, type Class, type Phases } from './priority-process.js';

const [OTHER, IDLE] = [0, 5];
const usual: Class = { nice: getPriority(), policy: OTHER };
const nice: Class = { nice: 5, policy: OTHER };
const idle: Class = { nice: 5, policy: IDLE };
const raised: Class = { nice: -20, policy: OTHER };
const NOBODY = 65534;

/** Asserts the class of the main thread and, unless it is null, that of all others. */
function has(t: Test, phases: Phases, phase: string, main: Class, helpers: Class | null): void {
  const found = phases[phase];
  t.same(found?.main, main, `${phase}: the main thread`);
  if (helpers === null) return;
  const all = found?.helpers ?? [];
  t.ok(all.length > 0, `${phase}: there are other threads`);
  t.same(
    all,
    all.map(() => helpers),
    `${phase}: all others`,
  );
}

/** Asserts the class of the main thread while a target is open, and returns it. A gospy that starves has the usual one. */
function whileOpen(t: Test, phases: Phases): Class {
  const { main, turns = [] } = phases['open'] ?? {};
  const starves = turns.map(({ ranNs, waitedNs }) => waitedNs > 2e9 && waitedNs > 4 * ranNs);
  // The review came in between: it has seen the one or the other.
  const expected = starves.includes(true) && (main?.nice === usual.nice || !starves.includes(false)) ? usual : nice;
  t.same(main, expected, `open: the main thread (${JSON.stringify(turns)})`);
  return expected;
}

test('priority: helpers are in SCHED_IDLE while a CPU is free, and the main thread never is', async (t) => {
  const phases = await phasesOf({ isFree: [true, true] });
  has(t, phases, 'before', usual, usual);
  for (const phase of [
    'low',
    'inner undone',
    'pool started',
    'after the stop',
    'after a stop that threw',
    'reviewed',
  ]) {
    has(t, phases, phase, nice, idle);
  }
  has(t, phases, 'stop', raised, idle);
  has(t, phases, 'child', nice, null);
  has(t, phases, 'restored', usual, usual);
});

test('priority: helpers leave SCHED_IDLE once no CPU is free, and return to it', async (t) => {
  const filled = await phasesOf({ isFree: [true, false] });
  has(t, filled, 'low', nice, idle);
  has(t, filled, 'reviewed', nice, nice);
  has(t, filled, 'restored', usual, usual);
  const freed = await phasesOf({ isFree: [false, true] });
  has(t, freed, 'low', nice, nice);
  has(t, freed, 'stop', raised, nice);
  has(t, freed, 'reviewed', nice, idle);
});

test('priority: a gospy that starves has the priority that it was started with', async (t) => {
  const phases = await phasesOf({ isFree: [true, true], isStarved: true });
  has(t, phases, 'after the stop', nice, idle);
  has(t, phases, 'reviewed', usual, usual);
  has(t, phases, 'restored', usual, usual);
});

test('priority: without the right to raise it again, nothing is lowered, and processes are stopped all the same', async (t) => {
  const phases = await phasesOf({ uid: NOBODY, isFree: [true, true] });
  t.match(Object.keys(phases), ['before', 'low', 'inner undone', 'pool started', 'child', 'stop']);
  for (const phase of Object.keys(phases)) has(t, phases, phase, usual, phase === 'child' ? null : usual);
});

test('priority: a gospy that was started in SCHED_IDLE leaves it for the stop', async (t) => {
  const phases = await phasesOf({ startIdle: true, isFree: [] });
  t.equal(phases['before']?.main.policy, IDLE);
  has(t, phases, 'stop', raised, null);
  t.same(phases['after']?.main, phases['before']?.main);
  t.same(phases['after']?.helpers, phases['before']?.helpers);
});

if (requireGo(tap)) {
  test('priority: it is low from when a live target is opened until gospy ends', async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'many', release: '1.26', link: 'plain' }));
    const phases = await phasesOf({ go: program.pid, isFree: [] });
    has(t, phases, 'before', usual, usual);
    const { nice: value } = whileOpen(t, phases);
    t.same(
      phases['open']?.helpers.map((helper) => helper.nice).filter((other) => other !== value),
      [],
    );
    t.same(phases['closed']?.main, phases['open']?.main, 'closed');
  });

  test('priority: beside threads that take every CPU, nothing is in SCHED_IDLE, and the command ends', async (t) => {
    const program = await startGo(t, await buildGo({ fixture: 'many', release: '1.26', link: 'plain' }));
    const spinning = Array.from({ length: 4 * availableParallelism() }, () =>
      spawn('/bin/sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }),
    );
    t.teardown(() => spinning.forEach((child) => child.kill('SIGKILL')));
    // They want every CPU all the time, and still leave the most of it to the test.
    spinning.forEach(({ pid = 0 }) => setPriority(pid, 19));
    await eventually(
      () => (spinning.every(({ pid = 0 }) => / R /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))) ? true : null),
      'spinning processes',
    );
    const phases = await phasesOf({ go: program.pid, isFree: [] });
    const expected = whileOpen(t, phases);
    has(t, phases, 'open', expected, expected);
    t.same(phases['closed']?.main, phases['open']?.main, 'closed');
  });
}

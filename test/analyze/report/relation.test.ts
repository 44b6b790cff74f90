import t from 'tap';
import type { GoProgram } from '../../../analyze/program.js';
import { relationOf } from '../../../analyze/report/relation.js';
import { plus } from '../../../snapshots/address.js';
import { withWord } from '../../support/altered-memory.js';
import { openSample } from './samples.js';

const program = openSample(t, 'queue.gsp');
const { image, layouts, globals } = program;
const SECOND = 10n ** 9n;

/** The sample, captured later: one second by the clock of the machine, and by the calendar. */
function later(of: GoProgram = program): GoProgram {
  const { capture } = of.image;
  const monotonicNs = (capture.monotonicNs ?? 0n) + SECOND;
  const capturedAt = new Date(Date.parse(capture.capturedAt ?? '') + 1000).toISOString();
  return of.over({ capture: { ...capture, monotonicNs, capturedAt } });
}

/** The sample with another value in a field of runtime.sched. */
function withSched(field: 'procresizetime' | 'goidgen', value: bigint): GoProgram {
  const at = plus(globals.sched, layouts.of('schedt').offset(field));
  return program.over({ memory: withWord(image.memory, at, value) });
}

function sched(field: 'procresizetime' | 'goidgen'): bigint {
  return image.memory.u64(globals.sched, layouts.of('schedt').offset(field));
}

t.test('relation: one process at two times', (t) => {
  t.same(relationOf(program, later()), { kind: 'same-process', elapsedNs: 1e9 });
  t.same(relationOf(later(), program), { kind: 'same-process', elapsedNs: -1e9 });
  t.end();
});

t.test('relation: another process of the same build, by its pid, its machine or its boot', (t) => {
  const { host } = image;
  t.equal(relationOf(program, program.over({ pid: image.pid + 1 })).kind, 'same-build');
  t.equal(relationOf(program, program.over({ host: { ...host, hostname: 'elsewhere' } })).kind, 'same-build');
  t.equal(relationOf(program, program.over({ host: { ...host, bootId: 'another' } })).kind, 'same-build');
  t.end();
});

t.test('relation: another process that was given the same pid', (t) => {
  const began = sched('procresizetime') + SECOND;
  const at = plus(globals.sched, layouts.of('schedt').offset('procresizetime'));
  const reused = withSched('goidgen', sched('goidgen') - 1n);
  const { memory } = reused.image;
  t.equal(relationOf(program, later(program.over({ memory: withWord(memory, at, began) }))).kind, 'same-build');
  t.end();
});

t.test('relation: one process whose GOMAXPROCS was changed', (t) => {
  const resized = withSched('procresizetime', sched('procresizetime') + SECOND);
  t.equal(relationOf(program, later(resized)).kind, 'same-process');
  t.equal(relationOf(later(), resized).kind, 'same-build', 'it cannot have begun later and been captured earlier');
  t.end();
});

t.test('relation: another build, by its build ids, or without any by path, size and release', (t) => {
  const { executable } = image;
  const build = (changes: Partial<typeof executable>): GoProgram =>
    program.over({ executable: { ...executable, ...changes } });
  t.equal(relationOf(program, build({ goBuildId: 'other' })).kind, 'other-build');
  const gnu = (buildId: string): GoProgram => build({ goBuildId: null, buildId });
  t.equal(relationOf(gnu('a'), gnu('a')).kind, 'same-process');
  t.equal(relationOf(gnu('a'), gnu('b')).kind, 'other-build');
  const bare = (changes: Partial<typeof executable>): GoProgram =>
    build({ goBuildId: null, buildId: null, ...changes });
  t.equal(relationOf(bare({}), bare({})).kind, 'same-process');
  t.equal(relationOf(bare({}), bare({ path: '/other' })).kind, 'other-build');
  t.equal(relationOf(bare({}), bare({ sizeBytes: 1 })).kind, 'other-build');
  t.end();
});

t.test('relation: the time between captures, by the calendar where the boots differ, or unknown', (t) => {
  const after = later();
  const rebooted = after.over({ host: { ...image.host, bootId: 'another' } });
  t.equal(relationOf(program, rebooted).elapsedNs, 1e9);
  const undated = rebooted.over({ capture: { ...after.image.capture, capturedAt: null } });
  t.equal(relationOf(program, undated).elapsedNs, null);
  t.end();
});

import t from 'tap';
import { GoProgram } from '../../../analyze/program.js';
import { explainAnalysis } from '../../../analyze/report/explain.js';
import { groupGoroutines } from '../../../analyze/report/groups.js';
import { listGoroutines } from '../../../analyze/report/goroutines.js';
import { buildView } from '../../../analyze/report/live-view.js';
import { findMissing } from '../../../analyze/report/missing.js';
import { summarize } from '../../../analyze/report/summary.js';
import { listThreads } from '../../../analyze/report/threads.js';
import { tracebacksAnalysis } from '../../../analyze/report/traceback.js';
import { WarningCollector, type Warning } from '../../../analyze/warnings.js';
import { plus, type Addr } from '../../../snapshots/address.js';
import type { ProcessImage } from '../../../snapshots/image.js';
import { withWord } from '../../support/altered-memory.js';
import { openSample } from './samples.js';

const ODD: Warning = { code: 'layout-newer-patch', message: 'its layouts were taken from an older release' };
const TORN = { code: 'clone-refused', message: 'the process was stopped' };
const VIEW = { by: { kind: 'start' }, open: null, goid: null } as const;

t.test('warnings: every report has those of the capture and of the program, in later images too', (t) => {
  const sample = openSample(t, 'queue.gsp');
  const { image, found } = sample;
  const capture = { ...image.capture, warnings: [TORN] };
  const program = new GoProgram(image, { ...found, warnings: [ODD] }).over({ capture, memory: image.memory });
  const goroutines = listGoroutines(program, 'plain');
  t.equal([...goroutines].length, 27);
  for (const [name, warnings] of Object.entries({
    summary: summarize(program).warnings,
    view: buildView(program, VIEW).warnings,
    threads: listThreads(program).warnings,
    groups: groupGoroutines(program, { kind: 'wait' }).warnings,
    missing: findMissing(program).warnings,
    goroutines: goroutines.warnings,
  })) {
    t.same(warnings, [TORN, { ...ODD, runtime: 1 }], name);
  }
  t.end();
});

t.test('warnings: labels that cannot be read are one warning a goroutine, however often they are read', (t) => {
  const sample = openSample(t, 'queue.gsp');
  const offset = sample.layouts.of('g').offset('labels');
  const all = [...sample.goroutines()];
  let { memory } = sample.image;
  for (const { addr } of all) memory = withWord(memory, plus(addr, offset), 0x1234_0000);
  const goroutines = listGoroutines(sample.over({ memory }), 'plain');
  t.same(goroutines.warnings, [], 'nothing was read yet');
  for (let pass = 0; pass < 2; pass++) {
    t.ok([...goroutines].every(({ labels }) => Object.keys(labels).length === 0));
    t.same(
      goroutines.warnings.map(({ code, goid }) => [code, goid]),
      all.map(({ goid }) => ['labels-unreadable', goid]),
    );
  }
  t.end();
});

t.test('warnings: every report that reads stacks says which end early', (t) => {
  const sample = openSample(t, 'queue.gsp');
  const [g] = [...sample.goroutines()].filter(({ goid }) => goid === 7);
  const slot = (g === undefined ? undefined : sample.stackOf(g).frames[0]?.fp) ?? 8;
  const damaged = (changes: Partial<ProcessImage> = {}): GoProgram =>
    sample.over({ memory: withWord(sample.image.memory, (slot - 8) as Addr, 0), ...changes });
  const wanted = { code: 'stack-truncated', goid: 7, message: /^its stack ends early: the return address of .* is 0$/ };
  const goroutines = listGoroutines(damaged(), 'stack');
  t.match([...goroutines].find(({ goid }) => goid === 7)?.truncated, /the return address of .* is 0/);
  for (const [name, warnings] of Object.entries({
    goroutines: goroutines.warnings,
    tracebacks: tracebacksAnalysis.answer(damaged()).warnings,
    groups: groupGoroutines(damaged(), { kind: 'stack' }).warnings,
    users: groupGoroutines(damaged(), { kind: 'user' }).warnings,
    missing: findMissing(damaged()).warnings,
    explain: explainAnalysis.answer(damaged()).warnings,
    view: buildView(damaged(), { ...VIEW, by: { kind: 'stack' } }).warnings,
  })) {
    t.match(warnings, [wanted], name);
    t.equal(warnings.length, 1, name);
  }
  const torn = damaged({ capture: { ...sample.image.capture, torn: [g?.addr ?? (0 as Addr)] } });
  t.same(findMissing(torn).warnings, [], 'a torn goroutine is marked as torn');
  t.end();
});

t.test('warnings: goroutines beyond a thousand are counted, not listed', (t) => {
  const collector = new WarningCollector();
  for (let pass = 0; pass < 2; pass++) {
    for (let goid = 1; goid <= 5000; goid++) collector.add({ code: 'stack-truncated', goid, message: 'short' });
  }
  collector.add(ODD);
  t.equal(collector.all.filter(({ goid }) => goid !== undefined).length, 1000);
  t.same(collector.all.slice(1000), [
    ODD,
    { code: 'stack-truncated', message: '4000 more goroutines have this warning' },
  ]);
  t.end();
});

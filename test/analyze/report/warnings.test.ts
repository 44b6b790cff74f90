import t from 'tap';
import { GoProgram } from '../../../analyze/program.js';
import { groupGoroutines } from '../../../analyze/report/groups.js';
import { listGoroutines } from '../../../analyze/report/goroutines.js';
import { buildView } from '../../../analyze/report/live-view.js';
import { findMissing } from '../../../analyze/report/missing.js';
import { summarize } from '../../../analyze/report/summary.js';
import { listThreads } from '../../../analyze/report/threads.js';
import type { Warning } from '../../../analyze/warnings.js';
import { plus } from '../../../snapshots/address.js';
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
    t.same(warnings, [TORN, ODD], name);
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

import t from 'tap';
import { GOROUTINE_STATUSES, GSCAN } from '../../analyze/runtime/goroutine.js';
import { NO_DEBUG_INFO } from '../../analyze/runtime/layouts.js';
import { MovedWalk } from '../../analyze/runtime/moved-walk.js';
import { CopiedRuns } from '../../capture/copy/late-walk.js';
import { planLive, surveyLive } from '../../capture/copy/look-again.js';
import { RunSource } from '../../capture/copy/run-source.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { wordAt } from '../../snapshots/bytes.js';
import type { Runs } from '../../snapshots/runs.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { cellName, FLOW } from '../support/releases.js';
import { ALL_WAITS_CELLS } from '../support/wait-cells.js';

const LABELLED = 40;
const NOTHING = { find: () => -1, view: new DataView(new ArrayBuffer(0)) };

/** What is looked for in the plan of a program. */
interface Coverage {
  /** Of goroutines that the stop would have to look after, their ids and what they wait for. */
  readonly uncovered: readonly (readonly [goid: number, reason: string | null])[];
  readonly labelled: number;
}

/** Plans a program, and asks of each parked goroutine whether the plan has all of it. */
function coverageOf(target: LiveProcess): Coverage {
  const [plan] = planLive(surveyLive(target, NO_DEBUG_INFO), target);
  if (plan === undefined) throw new Error('no plan');
  const sourceOf = (runs: Runs): RunSource => {
    const reader = target.reader(runs);
    return new RunSource(runs, reader.bytes, reader.read());
  };
  const [records, stacks, queues] = [sourceOf(plan.records), sourceOf(plan.stacks), sourceOf(plan.queues)];
  const copied = { records: new CopiedRuns([queues, records], NOTHING), stacks: new CopiedRuns([stacks], NOTHING) };
  const { stackPlan, program } = plan;
  const g = program.layouts.of('g');
  const walk = new MovedWalk(program, stackPlan.gs, plan.constants);
  const parked = [...stackPlan.goroutines.entries()].flatMap(([i, address]) => {
    const at = records.offsetOf(address, g.sizeBytes);
    return at < 0 || stackPlan.stackInUse(i, records.view) === null ? [] : [{ i, at }];
  });
  const lacking = (): typeof parked => parked.filter(({ i }) => !stackPlan.isCovered(i, records.view, copied, walk));
  // Where goroutines in the netpoller have their pollDescs is known once the first was looked at: a capture looks several times.
  lacking();
  const uncovered = lacking().map(({ at }): Coverage['uncovered'][number] => {
    const reason = program.waitReasons.at(records.view.getUint8(at + g.offset('waitreason')));
    return [wordAt(records.view, at + g.offset('goid')), reason];
  });
  return { uncovered, labelled: parked.filter(({ at }) => wordAt(records.view, at + g.offset('labels')) !== 0).length };
}

for (const cell of [FLOW.now, FLOW.old]) {
  t.test(`covered: a plan has the labels of parked goroutines, but for constants (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo(cell));
    await program.ask(`label ${LABELLED}`);
    const target = new LiveProcess(program.pid, 'read');
    t.teardown(() => target.close());
    t.same(coverageOf(target), { uncovered: [], labelled: LABELLED });
  });
}

for (const cell of ALL_WAITS_CELLS.filter(({ link }) => link === 'stripped')) {
  t.test(`covered: a plan has all that parked goroutines wait for (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo(cell));
    const target = new LiveProcess(program.pid, 'read');
    t.teardown(() => target.close());
    t.same(coverageOf(target).uncovered, []);
  });
}

for (const cell of [FLOW.now, FLOW.old]) {
  t.test(`covered: a goroutine without anything to follow is known by its g (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const target = new LiveProcess((await startGo(t, await buildGo(cell))).pid, 'read');
    t.teardown(() => target.close());
    const [plan] = planLive(surveyLive(target, NO_DEBUG_INFO), target);
    if (plan === undefined) throw new Error('no plan');
    const { program, stackPlan, constants } = plan;
    const g = program.layouts.of('g');
    const walk = new MovedWalk(program, stackPlan.gs, constants);
    const [KNOWN, OTHER] = [0xc0_0001_0000, 0xc1_0001_0000];
    const leadsOn = (field: string, value: number): boolean => {
      const view = new DataView(new ArrayBuffer(g.sizeBytes));
      view.setUint32(g.offset('atomicstatus'), GOROUTINE_STATUSES.indexOf('running'), true);
      if (field === 'atomicstatus') view.setUint32(g.offset(field), value, true);
      else view.setBigUint64(g.offset(field), BigInt(value), true);
      return walk.leadsOn(view, 0, KNOWN);
    };
    for (const [number, status] of GOROUTINE_STATUSES.entries()) {
      t.equal(leadsOn('atomicstatus', number), status === 'waiting' || status === 'leaked', `status ${number}`);
    }
    t.equal(leadsOn('atomicstatus', GSCAN | GOROUTINE_STATUSES.indexOf('waiting')), true, 'waiting, and scanned');
    for (const field of ['_defer', 'ancestors', 'labels']) {
      t.equal(leadsOn(field, 0), false, `${field} is nil`);
      // Pointers of which one half is 0, too.
      for (const value of [OTHER, 0x1_0000_0000, 0x1000]) t.equal(leadsOn(field, value), true, `${field} ${value}`);
    }
    t.equal(leadsOn('labels', KNOWN), false, 'labels that are known');
    t.equal(leadsOn('sched', OTHER), false, 'another field');
  });
}

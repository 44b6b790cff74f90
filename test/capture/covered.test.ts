import t from 'tap';
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

const LABELLED = 40;
const NOTHING = { find: () => -1, view: new DataView(new ArrayBuffer(0)) };

t.test('covered: a plan has all that parked goroutines wait for and point to, but for constants', async (t) => {
  if (!requireGo(t)) return;
  for (const cell of [FLOW.now, FLOW.old]) {
    const program = await startGo(t, await buildGo(cell));
    await program.ask(`label ${LABELLED}`);
    const target = new LiveProcess(program.pid, 'read');
    t.teardown(() => target.close());
    const [plan] = planLive(surveyLive(target, NO_DEBUG_INFO), target);
    if (plan === undefined) throw new Error('no plan');
    const sourceOf = (runs: Runs): RunSource => {
      const reader = target.reader(runs);
      return new RunSource(runs, reader.bytes, reader.read());
    };
    const [records, stacks, queues] = [sourceOf(plan.records), sourceOf(plan.stacks), sourceOf(plan.queues)];
    const copied = { records: new CopiedRuns([queues, records], NOTHING), stacks: new CopiedRuns([stacks], NOTHING) };
    const { stackPlan, program: surveyed } = plan;
    const g = surveyed.layouts.of('g');
    const walk = new MovedWalk(surveyed, stackPlan.gs, plan.constants);
    const uncovered: number[] = [];
    let labelled = 0;
    for (const [i, address] of stackPlan.goroutines.entries()) {
      const at = records.offsetOf(address, g.sizeBytes);
      if (at < 0 || stackPlan.stackInUse(i, records.view) === null) continue;
      if (wordAt(records.view, at + g.offset('labels')) !== 0) labelled++;
      if (!stackPlan.isCovered(i, records.view, copied, walk))
        uncovered.push(wordAt(records.view, at + g.offset('goid')));
    }
    t.equal(labelled, LABELLED, cellName(cell));
    t.same(uncovered, [], 'ids of those that the stop would have to look after');
  }
});

import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { usedStack } from '../../analyze/runtime/memory-ranges.js';
import { Copy } from '../../capture/copy/copy.js';
import { makePlan, survey } from '../../capture/copy/plan.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { withStopped } from '../../capture/ptrace/stop.js';
import {
  LayeredSource,
  Memory,
  onFault,
  SegmentSource,
  type MemorySource,
  type Segment,
} from '../../snapshots/memory.js';
import type { Addr } from '../../snapshots/address.js';
import type { GoProgram } from '../../analyze/program.js';
import type { G } from '../../analyze/runtime/goroutine.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { BUSY_CELLS, cellName } from '../support/releases.js';
import { startLoad } from '../support/load.js';

/** More in `npm run test:survival`. */
const CAPTURES = FULL_SIZE ? 1000 : 40;
/** Processes that use their CPU and nothing else, beside it. */
const LOADS = FULL_SIZE ? [0, 10] : [0];
/** The program makes no new goroutines and needs no new stacks, so that one plan is good for many captures. */
const CAPTURES_A_PLAN = 20;

function bytesAt(memory: Memory, lo: Addr, hi: Addr): Buffer | null {
  return onFault(
    () => Buffer.from(memory.bytes(lo, hi - lo)),
    () => null,
  );
}

function framesOf(program: GoProgram, g: G): string {
  const { frames, truncated } = program.stackOf(g);
  return `${frames.map(({ point, fp }) => `${point.pc.toString(16)} ${fp.toString(16)}`).join(', ')} ${truncated ?? ''}`;
}

/** Goroutines whose frames differ between two memories, and how many were compared. */
function differences(program: GoProgram, mine: Memory, full: Memory): { stale: string[]; compared: number } {
  const [ours, theirs] = [program.over({ memory: mine }), program.over({ memory: full })];
  const stale: string[] = [];
  let compared = 0;
  for (const g of ours.goroutines()) {
    if (g.status !== 'waiting') continue;
    const range = usedStack(g.stack.lo, g.stack.hi, g.sched.sp);
    const other = range === null ? null : bytesAt(full, range.lo, range.hi);
    if (range === null || other === null) continue;
    compared++;
    if (bytesAt(mine, range.lo, range.hi)?.equals(other) === true) continue;
    // A sender may be writing to the stack of a receiver that still waits: the bytes differ, but not the frames.
    const [a, b] = [framesOf(ours, g), framesOf(theirs, g)];
    if (a !== b) stale.push(`goroutine ${g.goid}: ${a} is in truth ${b}`);
  }
  return { stale, compared };
}

/** A thousand captures of one program take 3 minutes, and 13 beside ten spinning processes on a slow machine with two cores. */
const CELL_MS = 1_500_000;

t.setTimeout(CELL_MS * BUSY_CELLS.length * LOADS.length);

for (const [cell, load] of BUSY_CELLS.flatMap((cell) => LOADS.map((load) => [cell, load] as const))) {
  const what = `${cellName(cell)}, ${CAPTURES} captures, load ${load}`;
  t.test(`copy: no stack that was read ahead is stale (${what})`, async (t) => {
    if (!requireGo(t)) return;
    startLoad(t, load);
    const { pid } = await startGo(t, await buildGo(cell));
    const target = new LiveProcess(pid, 'stop');
    t.teardown(() => target.close());
    const image = target.image();
    const stale: string[] = [];
    let compared = 0;
    let kept = 0;
    for (let done = 0; done < CAPTURES;) {
      const { programs, recording } = survey(image, () => new Map());
      const plan = makePlan(programs[0], recording, target.contents());
      const copy = new Copy(plan, target);
      const everything = target.reader(plan.stacks);
      for (let i = 0; i < CAPTURES_A_PLAN && done < CAPTURES; i++, done++) {
        copy.readAhead();
        let failed: ReadonlySet<number> = new Set();
        // While the threads wait for a CPU, the memory is of one moment all the same.
        withStopped(pid, { arch: target.arch, late: () => undefined }, () => {
          copy.readStopped([]);
          failed = new Set(everything.read());
        });
        const { records, stacks, stored } = copy.contents;
        const full: Segment[] = [];
        for (let run = 0; run < plan.stacks.length; run++) {
          const { lo, hi, offset } = plan.stacks.at(run);
          if (!failed.has(run)) full.push({ addr: lo, bytes: everything.bytes.subarray(offset, offset + hi - lo) });
        }
        // Code and its tables are read from the process.
        const layered = (segments: readonly Segment[], ...more: MemorySource[]): Memory =>
          new Memory(new LayeredSource([new SegmentSource(segments), ...more, image.memory.source]));
        const result = differences(
          openProgram(image),
          layered([...records, ...stacks], stored),
          layered([...records, ...full]),
        );
        stale.push(...result.stale);
        compared += result.compared;
        kept += copy.keptAhead;
      }
    }
    t.same(stale.slice(0, 10), []);
    t.ok(compared > CAPTURES * 100, `${compared} stacks compared`);
    // Before Go 1.17 nothing shows which goroutines ran: of a busy program, no stack is kept.
    const keepsNone = Number(cell.release.slice(2)) < 17;
    t.ok(keepsNone || kept > CAPTURES * 100, `${kept} of them were read ahead of the stop and kept`);
  });
}

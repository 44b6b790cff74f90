import t from 'tap';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import { DeferReader } from '../../analyze/runtime/defer-records.js';
import { captureToImage } from '../../capture/capture.js';
import { onFault } from '../../snapshots/memory.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { cellName, DEFERS_CELLS } from '../support/releases.js';

const CAPTURES = 10;
/** Calls that each frame of main.turn has deferred where it calls or parks. */
const CALLS = 3;

/** What is wrong with the deferred calls of goroutines that are parked in main.turn, and how many such goroutines there are. */
function lookAt(program: GoProgram): { readonly faults: string[]; readonly seen: number } {
  const faults: string[] = [];
  const reader = new DeferReader(program);
  let seen = 0;
  for (const g of program.goroutines()) {
    // Allocating a record may wait for the garbage collector, too.
    if (g.status !== 'waiting' || !/^chan /.test(program.waitReasons.at(g.waitreason) ?? '')) continue;
    const turns = program.stackOf(g).frames.filter(({ point }) => point.func.name === 'main.turn');
    if (turns.length === 0) continue;
    seen++;
    const calls = [...reader.of(g.addr)];
    const expected = turns.flatMap(({ sp }) => Array.from({ length: CALLS }, () => sp));
    // The runtime may have records of its own frames besides.
    const found = calls.map(({ sp }) => sp).filter((sp) => expected.includes(sp));
    if (found.join() !== expected.join())
      faults.push(`goroutine ${g.goid}: ${found.length} of ${expected.length} calls`);
    for (const { fn } of calls) {
      const func = onFault(
        () => program.index.at(program.memory.ptr(fn))?.func.name ?? 'no function',
        () => 'an absent closure',
      );
      if (!/^(main\.turn\.|sync\.|runtime\.)/.test(func)) faults.push(`goroutine ${g.goid} has deferred ${func}`);
    }
  }
  return { faults, seen };
}

for (const cell of DEFERS_CELLS) {
  t.test(`defers: calls that were deferred in a loop are in the snapshot (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const target = await startGo(t, await buildGo(cell));
    for (const mode of ['stop', 'clone'] as const) {
      const faults: string[] = [];
      let seen = 0;
      for (let i = 0; i < CAPTURES; i++) {
        const { image } = await captureToImage(target.pid, { mode, writer: 'test' });
        const look = lookAt(openProgram(image));
        faults.push(...look.faults);
        seen += look.seen;
      }
      t.strictSame(faults.slice(0, 10), [], `mode ${mode}: all deferred calls of goroutines that are parked are there`);
      t.ok(seen > CAPTURES, `mode ${mode}: ${seen} goroutines were looked at`);
    }
  });
}

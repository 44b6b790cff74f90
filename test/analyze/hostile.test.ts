import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { summarize } from '../../analyze/report/summary.js';
import { listThreads } from '../../analyze/report/threads.js';
import { captureToImage } from '../../capture/capture.js';
import { GospyError } from '../../snapshots/errors.js';
import type { ProcessImage } from '../../snapshots/image.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { untilQuiet } from '../support/quiet.js';
import { damaged, DAMAGE, PLACES } from './damaged-memory.js';

const SEEDS = 6;

for (const release of ['1.12', '1.17', '1.26'] as const) {
  t.test(`analyze: whatever happens to the memory of Go ${release}, there is an answer or a reason`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo({ fixture: 'park', release, link: 'stripped' }));
    await untilQuiet(program.pid);
    const { image } = await captureToImage(program.pid, { mode: 'stop', writer: '0.0.0' });
    await program.kill();
    t.ok(analyze(image).goroutines > 90);

    for (const damage of DAMAGE) {
      for (const place of PLACES) {
        const outcomes = new Map<string, number>();
        for (const oneIn of [200, 20, 2]) {
          for (let seed = 0; seed < SEEDS; seed++) {
            const outcome = outcomeOf(damaged(image, { damage, place, oneIn, seed }));
            outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
            if (outcome.startsWith('bug')) t.fail(`${damage} ${place}, one in ${oneIn}, seed ${seed}: ${outcome}`);
          }
        }
        t.comment(`${damage} ${place}: ${[...outcomes].map(([outcome, n]) => `${n} ${outcome}`).join(', ')}`);
        t.ok(outcomes.size > 0);
      }
    }
  });
}

function outcomeOf(image: ProcessImage): string {
  try {
    const { warnings } = analyze(image);
    return warnings === 0 ? 'answered' : 'answered with warnings';
  } catch (error) {
    if (error instanceof GospyError) return `refused (${error.exitCode})`;
    return `bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
}

/** All that is ever asked of an image, once. */
function analyze(image: ProcessImage): { goroutines: number; warnings: number } {
  const program = openProgram(image);
  const goroutines = [...listGoroutines(program, 'stack')];
  const { warnings } = summarize(program);
  const threads = listThreads(program);
  JSON.stringify([goroutines, threads]);
  const cut = goroutines.filter(({ truncated }) => truncated !== null);
  return { goroutines: goroutines.length, warnings: warnings.length + cut.length };
}

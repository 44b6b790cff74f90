import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToImage } from '../../capture/capture.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { cellName, RACE_CELLS } from '../support/releases.js';

const CAPTURES = 15;
/** What the goroutines of the fixture do; they run inside the race detector much of the time. */
const SPINS = /^main\.spin(\w+)$/;
/** Calls the C code of the race detector, or of asan. */
const CALLS_C = /(race|asan)call$/;

for (const cell of RACE_CELLS) {
  t.test(`race: goroutines inside the race detector have their callers (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const program = await startGo(t, await buildGo(cell));
    const wrong: string[] = [];
    let [inDetector, uncertain] = [0, 0];
    for (let i = 0; i < CAPTURES; i++) {
      const { image } = await captureToImage(program.pid, { mode: i % 2 === 0 ? 'stop' : 'clone', writer: 'test' });
      for (const { entry, frames, truncated, goid } of listGoroutines(openProgram(image), 'stack')) {
        const [, what] = SPINS.exec(entry?.func ?? '') ?? [];
        if (what === undefined || (image.capture.partial && frames.length === 0)) continue;
        if (frames.some(({ func }) => CALLS_C.test(func))) inDetector++;
        if (truncated !== null) {
          uncertain++;
          continue;
        }
        const own = frames.map(({ func }) => func).filter((func) => func.startsWith('main.'));
        const outer = frames.at(-2)?.func;
        // What one goroutine calls, another does not: every function of the fixture has the name of its goroutine.
        const strange = own.filter((func) => !func.includes(what) && !/^main\.(_C|_cgo|goSpunByC|leaf)/.test(func));
        if (outer !== `main.spin${what}` || strange.length > 0) {
          wrong.push(`${goid}: ${frames.map(({ func, line }) => `${func}:${line}`).join(' < ')}`);
        }
      }
    }
    t.same(wrong, []);
    t.comment(`${inDetector} in the race detector, ${uncertain} uncertain`);
    t.ok(inDetector > 0, `${inDetector} in the race detector`);
    t.ok(uncertain <= inDetector / 4, `${uncertain} of them uncertain`);
    t.ok(program.alive(), 'the program lives');
  });
}

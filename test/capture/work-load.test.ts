import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { listGoroutines } from '../../analyze/report/goroutines.js';
import { captureToImage } from '../../capture/capture.js';
import { ProcessSampler } from '../../capture/copy/process-sampler.js';
import { FULL_SIZE } from '../support/full-size.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { cellName } from '../support/releases.js';
import { HAMMERED_CELLS } from '../support/work-cells.js';

t.setTimeout(1_800_000);

/** Of each program; a thousand of all of them under `npm run test:all`. */
const CAPTURES = FULL_SIZE ? Math.ceil(1000 / HAMMERED_CELLS.length) : 8;
const LOOKS = CAPTURES / 4;
const REQUEST = /^GET \/(?:r|stay|deep)\/(\d+)\/(\d+) host=x from 127\.0\.0\.1:(\d+)$/;

/**
 * A request as the handler has it: the number in its path is an argument of a call in which it waits, on the stack that is
 * copied in the stop. The port in its path is that of the client.
 */
for (const cell of HAMMERED_CELLS) {
  t.test(
    `work: under load, a request is never an earlier one, or that of another goroutine (${cellName(cell)})`,
    async (t) => {
      if (!requireGo(t)) return;
      const running = await startGo(t, await buildGo(cell));
      const told = { serve: 0, stay: 0, deep: 0 };
      const wrong: string[] = [];
      for (let i = 0; i < CAPTURES; i++) {
        const { image } = await captureToImage(running.pid, { mode: i % 4 === 3 ? 'live' : 'stop', writer: 'test' });
        for (const { goid, frames, torn, work } of listGoroutines(openProgram(image), 'stack')) {
          const call = frames.find(({ func }) => func === 'main.serve' || func === 'main.stay');
          const request = work.find(({ kind }) => kind === 'http-server');
          if (call === undefined || request === undefined) continue;
          const isDeep = frames.some(({ func }) => func === 'main.deep');
          told[isDeep ? 'deep' : call.func === 'main.stay' ? 'stay' : 'serve']++;
          const [, port, number, peer] = REQUEST.exec(request.text) ?? [];
          const argument = String(Number(call.args?.split(',')[0]));
          if (torn || port !== peer || number !== argument) wrong.push(`${goid}: ${request.text}, not ${argument}`);
        }
      }
      const sampler = new ProcessSampler(running.pid);
      t.teardown(() => sampler.close());
      for (let i = 0; i < LOOKS; i++) {
        for (const { goid, work } of listGoroutines(sampler.look()[0], 'located')) {
          const request = work.find(({ kind, text }) => kind === 'http-server' && text.startsWith('GET'));
          const [, port, , peer] = REQUEST.exec(request?.text ?? '') ?? [];
          if (request !== undefined && (port === undefined || port !== peer)) wrong.push(`${goid}: ${request.text}`);
        }
      }
      await running.kill();
      t.same(wrong, []);
      // Of releases that do not count runs, little is certain enough to be told under load.
      if (cell.release === '1.12') return;
      t.ok(told.serve > 0, `${told.serve} requests`);
      t.ok(told.stay > 0, `${told.stay} requests whose goroutines move all the time`);
      t.ok(told.deep > 0, `${told.deep} of them deep in a stack`);
    },
  );
}

import t from 'tap';
import { openProgram } from '../../../analyze/program.js';
import { listGoroutines } from '../../../analyze/report/goroutines.js';
import { GospyError } from '../../../snapshots/errors.js';
import type { ProcessImage } from '../../../snapshots/image.js';
import { withCore } from '../../support/core-goroutines.js';
import { gcore } from '../../support/cores.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { untilQuiet } from '../../support/quiet.js';
import { damaged, DAMAGE } from '../damaged-memory.js';

/** A text has a few strings, each of 256 characters at most, or the cases of a select, with types of any name. */
const MAX_TEXT = 20_000;

/** What the goroutines of an image work on; null where gospy refuses it and says why. */
function workIn(image: ProcessImage): string[] | null {
  try {
    return [...listGoroutines(openProgram(image), 'stack')].flatMap(({ work }) => work.map(({ text }) => text));
  } catch (error) {
    if (error instanceof GospyError) return null;
    throw error;
  }
}

t.test('work: damaged types, objects and strings are no error, and nothing is read without a bound', async (t) => {
  if (!requireGo(t)) return;
  const path = await buildGo({ fixture: 'decoders', release: '1.27', link: 'stripped' });
  const running = await startGo(t, path);
  await untilQuiet(running.pid);
  const core = await gcore(t, running.pid);
  await running.kill();
  withCore(core, { bin: path }, ({ image }) => {
    const whole = workIn(image) ?? [];
    t.ok(whole.length > 40, `${whole.length} things`);
    for (const damage of DAMAGE) {
      for (const place of ['writable', 'read-only'] as const) {
        const texts = workIn(damaged(image, { damage, place, oneIn: 24, seed: 0 }));
        const odd = texts?.filter((text) => text.length > MAX_TEXT || text.includes('\n')) ?? [];
        t.same(odd, [], `${damage} in ${place} memory: ${texts?.length ?? 'refused,'} told`);
      }
    }
  });
});

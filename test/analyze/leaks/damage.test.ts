import t from 'tap';
import { NotProvable } from '../../../analyze/leaks/not-provable.js';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import type { LeakProof } from '../../../snapshots/leak-proof.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { isLeak, outcomesByEntry, provedIn } from '../../support/leak-outcomes.js';
import { untilQuiet } from '../../support/quiet.js';
import { damaged, DAMAGE } from '../damaged-memory.js';

const SEEDS = 2;

function provedOrNot(program: GoProgram): LeakProof | null {
  try {
    return provedIn(program);
  } catch (error) {
    if (error instanceof NotProvable) return null;
    throw error;
  }
}

t.test('leaks: in damaged memory a proof ends, and without a part of it there is none', async (t) => {
  if (!requireGo(t)) return;
  const running = await startGo(t, await buildGo({ fixture: 'leaks', release: '1.27', link: 'stripped' }));
  await untilQuiet(running.pid);
  const target = new LiveProcess(running.pid, 'read');
  t.teardown(() => {
    target.close();
  });
  const image = target.image();
  const program = openProgram(image);
  t.ok(provedOrNot(program) !== null);
  for (const damage of DAMAGE) {
    let refused = 0;
    for (const oneIn of [1000, 50]) {
      for (let seed = 0; seed < SEEDS; seed++) {
        const { memory } = damaged(image, { damage, place: 'writable', oneIn, seed });
        const proof = provedOrNot(program.over({ memory }));
        if (proof === null) refused++;
        if (proof === null || damage !== 'absent') continue;
        const wrong = [...outcomesByEntry(program, proof)].filter(
          ([name, of]) => name.startsWith('live') && of.some(isLeak),
        );
        t.same(wrong, [], `one page in ${oneIn} is absent, seed ${seed}`);
      }
    }
    t.ok(refused > 0 || damage !== 'absent', `${damage}: nothing is proved ${refused} times`);
  }
});

import t from 'tap';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { reportWaits } from '../../../analyze/report/waits.js';
import { captureToImage } from '../../../capture/capture.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { cellName } from '../../support/releases.js';
import { MODULES_CELLS } from '../../support/wait-cells.js';

const LINE = /^H (?<shape>\S+) waiter=(?<waiter>\d+) holder=(?<holder>\d+)$/gm;

/** For a shape that the program tells of, what is found. */
interface Outcome {
  readonly shape: string;
  /** Whether who has to end the wait is named. */
  readonly told: boolean;
  /** The strengths of others that are named. */
  readonly others: readonly string[];
}

function outcomes(program: GoProgram, output: string): Outcome[] {
  const edges = [...reportWaits(program).value.edges];
  return [...output.matchAll(LINE)].map(({ groups: { shape = '', waiter = '', holder = '' } = {} }) => {
    const named = edges.filter(({ from }) => from === Number(waiter));
    return {
      shape,
      told: named.some(({ to }) => to === Number(holder)),
      others: named.filter(({ to }) => to !== Number(holder)).map(({ strength }) => strength),
    };
  });
}

for (const cell of MODULES_CELLS) {
  t.test(
    `modules: who holds their locks (${cellName(cell)}${cell.leaveOut === undefined ? '' : ', some'})`,
    async (t) => {
      if (!requireGo(t)) return;
      const target = await startGo(t, await buildGo(cell));
      const live = new LiveProcess(target.pid, 'read');
      t.teardown(() => {
        live.close();
      });
      const check = (program: GoProgram, what: string): void => {
        const all = outcomes(program, target.stdout);
        const missed = all.filter(({ told }) => !told).map(({ shape }) => shape);
        const untrue = all.filter(({ others }) => others.some((strength) => strength !== 'candidate'));
        t.ok(
          missed.length <= all.length / 10,
          `${what}: ${missed.length} of ${all.length} are not told: ${missed.join()}`,
        );
        t.strictSame(untrue, [], `${what}: nobody else is more than a candidate`);
      };
      check(openProgram(live.image()), 'live');
      const { image } = await captureToImage(target.pid, { mode: 'stop', writer: 'test' });
      check(openProgram(image), 'stop');
    },
  );
}

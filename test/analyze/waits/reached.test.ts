import t from 'tap';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { reportWaits } from '../../../analyze/report/waits.js';
import { captureToImage } from '../../../capture/capture.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { cellName } from '../../support/releases.js';
import { STUCK_CELLS } from '../../support/wait-cells.js';

function goidsOf(output: string, word: string): number[][] {
  const lines = output.split('\n').filter((line) => line.startsWith(`${word} `));
  return lines.map((line) => line.split(' ').slice(1).map(Number));
}

for (const cell of STUCK_CELLS) {
  t.test(`waits: who ends them by what its frames only lead to (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const target = await startGo(t, await buildGo(cell), { args: ['reached'] });
    const live = new LiveProcess(target.pid, 'read');
    t.teardown(() => {
      live.close();
    });
    const told = goidsOf(target.stdout, 'waits');
    t.equal(told.length, 6);
    const check = (program: GoProgram, what: string): void => {
      const { edges, cycles } = reportWaits(program).value;
      const waiters = told.map(([waiter]) => waiter ?? 0);
      const found = [...edges].filter(({ from }) => waiters.includes(from)).map(({ from, to }) => [from, to]);
      const sorted = (pairs: number[][]): string[] => pairs.map((pair) => pair.join(' for ')).sort();
      t.same(sorted(found), sorted(told), `${what}: each waits for whom the program says, and for nobody else`);
      const inCycles = cycles.map(({ goids }) => [...goids].sort((a, b) => a - b));
      const expected = goidsOf(target.stdout, 'cycle').map((goids) => [...goids].sort((a, b) => a - b));
      t.same(inCycles.map(String).sort(), expected.map(String).sort(), `${what}: deadlocks`);
    };
    check(openProgram(live.image()), 'live');
    const { image } = await captureToImage(target.pid, { mode: 'stop', writer: 'test' });
    check(openProgram(image), 'stop');
  });
}

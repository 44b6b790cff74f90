import t, { type Test } from 'tap';
import { openProgram, type GoProgram } from '../../../analyze/program.js';
import { reportWaits } from '../../../analyze/report/waits.js';
import { captureToImage } from '../../../capture/capture.js';
import { LiveProcess } from '../../../capture/process/live-process.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { cellName } from '../../support/releases.js';
import { OWN_LOCKS_CELLS } from '../../support/wait-cells.js';

const LINE = /^H (?<shape>\S+) waiter=(?<waiter>\d+) holder=(?<holders>\S+)$/gm;

/** Compares who is named with those that a program has told of. */
function checkHolders(t: Test, program: GoProgram, output: string, what: string): void {
  const edges = [...reportWaits(program).value.edges];
  for (const { groups: { shape = '', waiter = '', holders = '' } = {} } of output.matchAll(LINE)) {
    const told = holders.split(',').filter((goid) => goid !== '0');
    const named = edges.filter(({ from }) => from === Number(waiter));
    const others = named.filter(({ to, strength }) => strength !== 'candidate' && !told.includes(String(to)));
    const missed = told.filter((goid) => !named.some(({ to }) => String(to) === goid));
    t.strictSame(missed, [], `${what}, ${shape}: who holds it is named`);
    t.strictSame(others, [], `${what}, ${shape}: nobody else is more than a candidate`);
    t.notOk(
      named.some(({ strength }) => strength === 'exact' || strength === 'strong'),
      `${what}, ${shape}: names of methods prove nothing`,
    );
  }
}

for (const cell of OWN_LOCKS_CELLS) {
  t.test(`own locks: who holds them (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const target = await startGo(t, await buildGo(cell));
    const live = new LiveProcess(target.pid, 'read');
    t.teardown(() => {
      live.close();
    });
    checkHolders(t, openProgram(live.image()), target.stdout, 'live');
    const { image } = await captureToImage(target.pid, { mode: 'stop', writer: 'test' });
    checkHolders(t, openProgram(image), target.stdout, 'stop');
  });
}

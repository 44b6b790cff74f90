import { join } from 'node:path';
import t from 'tap';
import { openProgram } from '../../analyze/program.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { gcore } from '../support/cores.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { cellName, PLANTED_CELLS } from '../support/releases.js';
import { untilQuiet } from '../support/quiet.js';
import { gospyHere } from '../src/gospy-here.js';

for (const cell of PLANTED_CELLS) {
  t.test(
    `planted: a snapshot has nothing of the heap that lies between what it needs (${cellName(cell)})`,
    async (t) => {
      if (!requireGo(t)) return;
      const path = await buildGo(cell);
      const running = await startGo(t, path);
      await untilQuiet(running.pid);
      const folder = temporaryFolder(t);
      for (const mode of ['stop', 'clone', 'live']) {
        const file = join(folder, `${mode}.gsp`);
        t.equal((await gospyHere(['capture', '--pid', String(running.pid), '-o', file, '--mode', mode])).code, 0);
        t.strictSame(plantedIn(file), [], mode);
      }
      const core = await gcore(t, running.pid);
      await running.kill();
      const file = join(folder, 'core.gsp');
      t.equal((await gospyHere(['capture', '--core', core, '--bin', path, '-o', file])).code, 0);
      t.strictSame(plantedIn(file), [], 'core');
    },
  );
}

/** The first places where a snapshot has the text that the program plants, but for stacks. */
function plantedIn(file: string): string[] {
  const { memory, mappings } = openSnapshot(file);
  const program = openProgram(openSnapshot(file));
  // Threads have stacks of their own for the runtime and for signals.
  const ofThreads = program.machines.flatMap(({ g0, gsignal }) => [...program.goroutinesAt([g0, gsignal])]);
  const stacks = [...program.goroutines(), ...ofThreads].map(({ stack }) => stack);
  const isOnStack = (at: number): boolean => stacks.some(({ lo, hi }) => at >= lo && at < hi);
  const found: string[] = [];
  // What the program cannot write is its file, which has the texts of its source.
  for (const { start, end } of mappings.filter(({ writable }) => writable)) {
    for (const { lo, hi } of memory.source.ranges(start, end)) {
      const bytes = Buffer.from(memory.bytes(lo, hi - lo));
      for (let at = bytes.indexOf('planted'); at >= 0; at = bytes.indexOf('planted', at + 1)) {
        if (!isOnStack(lo + at)) found.push(`0x${(lo + at).toString(16)} in [${lo.toString(16)}, ${hi.toString(16)})`);
      }
    }
  }
  return found.slice(0, 5);
}

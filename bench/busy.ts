import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo } from '../test/support/go.js';
import { buildFloor, writePlan } from './floor-plan.js';
import { Bench, GOSPY, median, printRow, run } from './measure.js';

/** How many times gospy and the floor take turns. */
const ROUNDS = 31;
/** Goroutines that pass messages in pairs, beside four that spin; as many Ps as give a process of eight threads. */
const PROGRAM = { args: ['-n', '10000', '-spin', '4'], env: { GOMAXPROCS: '5' } };

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  const [floor, plan, path] = [join(folder, 'floor'), join(folder, 'plan'), join(folder, 'bench.gsp')];
  buildFloor(floor);
  const program = await startGo(bench, await buildGo({ fixture: 'pairs', release: '1.26', link: 'stripped' }), PROGRAM);
  const pid = String(program.pid);
  const floors: number[] = [];
  const pauses: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    writePlan(program.pid, plan);
    floors.push(Number(execFileSync(floor, [pid, plan, 'all'], { encoding: 'utf8' }).split(' ')[0]) / 1e6);
    const { stdout } = await run(process.execPath, [...GOSPY, 'capture', '--pid', pid, '-o', path, '--json']);
    pauses.push((JSON.parse(stdout) as { pauseNs: number }).pauseNs / 1e6);
  }
  process.stdout.write(
    '| 10,000 goroutines that pass messages, 4 that spin | median | least | most |\n|---|---|---|---|\n',
  );
  printRow('C floor: everything', floors, 'ms');
  printRow('`--mode stop`, as gospy reports it', pauses, 'ms');
  printRow('... against the floor', [median(pauses) / median(floors)], 'x');
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

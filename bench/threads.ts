import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo } from '../test/support/go.js';
import { CTHREADS_CELL } from '../test/support/releases.js';
import { buildFloor, writePlan } from './floor-plan.js';
import { Bench, GOSPY, median, printRow, run, timed } from './measure.js';

/** Threads in C code. */
const THREADS = [1_000, 3_000, 10_000];
const FLOORS = ['registers', 'all', 'clone'] as const;
const MODES = ['stop', 'clone'] as const;
/** How many times gospy and the floor take turns. */
const ROUNDS = 7;

async function measure(bench: Bench, folder: string, count: number): Promise<void> {
  const program = await startGo(bench, await buildGo(CTHREADS_CELL), { args: [String(count)] });
  const plan = join(folder, 'plan');
  writePlan(program.pid, plan);
  const pauses = new Map<string, number[]>();
  const add = (what: string, ms: number): void => void pauses.set(what, [...(pauses.get(what) ?? []), ms]);
  for (let i = 0; i < ROUNDS; i++) {
    for (const floor of FLOORS) {
      const out = execFileSync(join(folder, 'floor'), [String(program.pid), plan, floor], { encoding: 'utf8' });
      add(`floor, ${floor}`, Number(out.split(' ')[0]) / 1e6);
    }
    for (const mode of MODES) {
      const words = ['capture', '--pid', String(program.pid), '-o', join(folder, 'a.gsp'), '--json', '--mode', mode];
      let stdout = '';
      const ms = await timed(async () => ({ stdout } = await run(process.execPath, [...GOSPY, ...words])));
      const report = JSON.parse(stdout) as { mode: string; pauseNs: number };
      add(`gospy, ${report.mode}`, report.pauseNs / 1e6);
      add(`the whole command, ${report.mode}`, ms);
    }
  }
  for (const [what, values] of pauses) printRow(`${count} threads: ${what}`, values, 'ms');
  for (const [ours, floor] of [
    ['gospy, stop', 'floor, all'],
    ['gospy, clone', 'floor, clone'],
  ] as const) {
    const ratio = median(pauses.get(ours) ?? []) / median(pauses.get(floor) ?? []);
    process.stdout.write(`| ${count} threads: ${ours} against ${floor} | ${ratio.toFixed(1)} x | | |\n`);
  }
  await program.kill();
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  buildFloor(join(folder, 'floor'));
  process.stdout.write('| what | median | least | most |\n| --- | --- | --- | --- |\n');
  for (const count of THREADS) await measure(bench, folder, count);
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

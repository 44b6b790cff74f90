import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { openProgram } from '../analyze/program.js';
import { pclntabRange } from '../analyze/runtime/find-module-data.js';
import { openSnapshot } from '../snapshots/gsp/read.js';
import { buildGo, startGo, type GoProcess } from '../test/support/go.js';
import { Bench, largestGap, GOSPY, median, printRow, peersOn, run, timed } from './measure.js';

const ROUNDS = 9;
const PEER_ROUNDS = 3;

/** Captures a snapshot and returns the pause that gospy reports, in milliseconds. */
async function capture(program: GoProcess, path: string): Promise<number> {
  const { stdout } = await run(process.execPath, [
    ...GOSPY,
    'capture',
    '--pid',
    String(program.pid),
    '-o',
    path,
    '--json',
  ]);
  return (JSON.parse(stdout) as { pauseNs: number }).pauseNs / 1e6;
}

async function measureThousand(bench: Bench, folder: string): Promise<void> {
  const program = await startGo(bench, await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' }), {
    args: ['-n', '1000'],
  });
  const path = join(folder, '1k.gsp');
  const pauses: number[] = [];
  const gaps: number[] = [];
  const commands: number[] = [];
  const idle: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    idle.push(await largestGap(program, () => new Promise((done) => setTimeout(done, 500))));
    let pause = 0;
    gaps.push(
      await largestGap(program, async () => {
        commands.push(await timed(async () => (pause = await capture(program, path))));
      }),
    );
    pauses.push(pause);
  }
  printRow('1,000 goroutines: pause that gospy reports', pauses, 'ms');
  printRow('1,000 goroutines: largest gap felt during gospy capture', gaps, 'ms');
  printRow('1,000 goroutines: largest gap felt in half a second without a capture', idle, 'ms');
  printRow('1,000 goroutines: gospy capture, the whole command', commands, 'ms');
  printRow('1,000 goroutines: snapshot without its compressed pclntab', [bytesBesideTables(path) / 1e6], 'MB');
  await measureSummary(path, '1,000');
  await measurePeers(program, folder, median(pauses));
  await program.kill();
}

/** Returns the size of a snapshot without its compressed function tables, in bytes. */
function bytesBesideTables(path: string): number {
  const image = openSnapshot(path);
  const tables = openProgram(image).code.modules.map(({ module }) => {
    const { lo, hi } = pclntabRange(module);
    return deflateRawSync(image.memory.bytes(lo, hi - lo), { level: 3 }).length;
  });
  image.close();
  return statSync(path).size - tables.reduce((a, b) => a + b, 0);
}

async function measureSummary(path: string, count: string): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) times.push(await timed(() => run(process.execPath, [...GOSPY, 'summary', path])));
  printRow(`${count} goroutines: gospy summary of the snapshot`, times, 'ms');
}

async function measurePeers(program: GoProcess, folder: string, pause: number): Promise<void> {
  for (const { name, action } of peersOn(program.pid, folder)) {
    const gaps: number[] = [];
    for (let i = 0; i < PEER_ROUNDS; i++) gaps.push(await largestGap(program, action));
    printRow(`1,000 goroutines: largest gap felt during ${name}`, gaps, 'ms');
    process.stdout.write(`| ... that is | ${(median(gaps) / pause).toFixed(0)} times gospy's pause | | |\n`);
  }
}

async function measureHundredThousand(bench: Bench, folder: string): Promise<void> {
  const program = await startGo(bench, await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' }), {
    args: ['-n', '100000'],
  });
  const path = join(folder, '100k.gsp');
  const pauses: number[] = [];
  const commands: number[] = [];
  for (let i = 0; i < PEER_ROUNDS; i++) {
    commands.push(await timed(async () => pauses.push(await capture(program, path))));
  }
  printRow('100,000 goroutines: pause that gospy reports', pauses, 'ms');
  printRow('100,000 goroutines: gospy capture, the whole command', commands, 'ms');
  printRow('100,000 goroutines: snapshot', [statSync(path).size / 1e6], 'MB');
  await program.kill();
  await measureSummary(path, '100,000');
}

/** Measures how much longer `gospy --version` takes than starting Node. */
async function measureStart(): Promise<void> {
  const version: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const bare = await timed(() => run(process.execPath, ['-e', '0']));
    version.push((await timed(() => run(process.execPath, [...GOSPY, '--version']))) - bare);
  }
  printRow('gospy --version, minus node -e 0', version, 'ms');
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  process.stdout.write('| what | median | least | most |\n|---|---|---|---|\n');
  await measureStart();
  await measureThousand(bench, folder);
  await measureHundredThousand(bench, folder);
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

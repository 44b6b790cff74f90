import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo } from '../test/support/go.js';
import { Bench, delve, GOSPY, printRow, run, timed } from './measure.js';

const ROUNDS = 7;
const COUNT = 100_000;
/** An address at which there are neither programs nor heaps. */
const FREE_ADDRESS = 2n ** 36n;
const HOLE_BYTES = 20 * 2 ** 30;
const OUTPUT = { maxBuffer: 2 ** 30 };
/** Makes Node print its peak memory in kB when it exits. */
const PRINT_PEAK =
  'data:text/javascript,process.on("exit",()=>process.stderr.write(`peak ${process.resourceUsage().maxRSS}`))';

/** Runs gospy and returns its peak memory in MB. */
async function gospy(args: readonly string[]): Promise<number> {
  const { stderr } = await run(process.execPath, ['--import', PRINT_PEAK, ...GOSPY, ...args], OUTPUT);
  return Number(/peak (\d+)/.exec(stderr)?.[1]) / 1e3;
}

interface CoreFiles {
  readonly core: string;
  readonly executable: string;
}

/** Makes a core of a program with many goroutines, with holes in place of zeros. */
async function makeCore(bench: Bench, folder: string, count: number): Promise<CoreFiles> {
  const executable = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
  const program = await startGo(bench, executable, { args: ['-n', String(count)] });
  const prefix = join(folder, 'dense');
  await run('gcore', ['-o', prefix, String(program.pid)], OUTPUT);
  await program.kill();
  const core = join(folder, `${count}.core`);
  await run('cp', ['--sparse=always', `${prefix}.${program.pid}`, core]);
  rmSync(`${prefix}.${program.pid}`);
  return { core, executable };
}

/** Measures gospy and Delve on a core in turn, then distilling the core into a snapshot. */
async function measureNextToDelve(folder: string, { core, executable }: CoreFiles): Promise<void> {
  const dlv = delve();
  const [times, peaks, peers]: [number[], number[], number[]] = [[], [], []];
  const script = `printf 'goroutines -group userloc\\nquit\\n' | "${dlv ?? ''}" core "${executable}" "${core}" --allow-non-terminal-interactive=true`;
  for (let i = 0; i < ROUNDS; i++) {
    times.push(await timed(async () => peaks.push(await gospy(['goroutines', core, '--group-by', 'stack']))));
    if (dlv !== null) peers.push(await timed(() => run('sh', ['-c', script], OUTPUT)));
  }
  printRow('100,000 goroutines: gospy goroutines --group-by stack on a core', times, 'ms');
  printRow('100,000 goroutines: its peak memory', peaks, 'MB');
  if (dlv !== null) {
    printRow('100,000 goroutines: Delve core + goroutines -group userloc', peers, 'ms');
    const ratios = times.map((time, i) => time / (peers[i] ?? NaN));
    printRow("100,000 goroutines: gospy's time over Delve's, in each round", ratios, '');
  }
  const snapshot = join(folder, 'distilled.gsp');
  const captureTimes: number[] = [];
  const capturePeaks: number[] = [];
  for (let i = 0; i < 3; i++) {
    const capture = async (): Promise<number> =>
      capturePeaks.push(await gospy(['capture', '--core', core, '-o', snapshot]));
    captureTimes.push(await timed(capture));
  }
  printRow('100,000 goroutines: gospy capture --core', captureTimes, 'ms');
  printRow('100,000 goroutines: its peak memory', capturePeaks, 'MB');
  printRow(
    '100,000 goroutines: the core, and the snapshot of it',
    [statSync(core).size / 1e6, statSync(snapshot).size / 1e6],
    'MB',
  );
}

/** Measures a small core with 20 GB of heap to which nothing was ever written: a hole in the file. */
async function measureHole(bench: Bench, folder: string): Promise<void> {
  const { core } = await makeCore(bench, folder, 100);
  const huge = join(folder, 'huge.core');
  copyFileSync(core, huge);
  addHole(huge);
  const [times, peaks, bare]: [number[], number[], number[]] = [[], [], []];
  for (let i = 0; i < ROUNDS; i++) {
    times.push(await timed(async () => peaks.push(await gospy(['summary', huge]))));
    bare.push(await timed(() => gospy(['summary', core])));
  }
  printRow(`gospy summary of a core of ${(statSync(huge).size / 1e9).toFixed(0)} GB, sparse`, times, 'ms');
  printRow('gospy summary of the same core without the hole', bare, 'ms');
  printRow('its peak memory', peaks, 'MB');
}

/** Turns a segment of reserved memory into one of 20 GB elsewhere, whose content is a hole at the end of the file. */
function addHole(path: string): void {
  const PT_LOAD = 1;
  const SEGMENT_BYTES = 56;
  const file = openSync(path, 'r+');
  const head = Buffer.alloc(2 ** 16);
  readSync(file, head, 0, head.length, 0);
  const table = Number(head.readBigUInt64LE(32));
  const count = head.readUInt16LE(56);
  const end = statSync(path).size;
  const places = Array.from({ length: count }, (_, i) => table + SEGMENT_BYTES * i);
  const loads = places.filter((at) => head.readUInt32LE(at) === PT_LOAD && head.readUInt32LE(at + 4) === 4);
  const reserve = loads.find((at) => head.readBigUInt64LE(at + 16) > 2n ** 40n) ?? loads[0];
  if (reserve === undefined) throw new Error('the core has no reserved memory');
  const changed = Buffer.from(head.subarray(reserve, reserve + SEGMENT_BYTES));
  changed.writeBigUInt64LE(BigInt(end), 8);
  changed.writeBigUInt64LE(FREE_ADDRESS, 16);
  changed.writeBigUInt64LE(BigInt(HOLE_BYTES), 32);
  changed.writeBigUInt64LE(BigInt(HOLE_BYTES), 40);
  writeSync(file, changed, 0, changed.length, reserve);
  closeSync(file);
  truncateSync(path, end + HOLE_BYTES);
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  process.stdout.write('| what | median | least | most |\n|---|---|---|---|\n');
  await measureHole(bench, folder);
  await measureNextToDelve(folder, await makeCore(bench, folder, COUNT));
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

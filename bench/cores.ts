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
import { Bench, delve, GOSPY, note, run, timed } from './measure.js';

const ROUNDS = 7;
const COUNT = 100_000;
/** Neither programs nor heaps lie here. */
const FREE_ADDRESS = 2n ** 36n;
const HOLE_BYTES = 20 * 2 ** 30;
const OUTPUT = { maxBuffer: 2 ** 30 };
/** Has Node say at its end how much memory it held at most, in kB. */
const MEASURED =
  'data:text/javascript,process.on("exit",()=>process.stderr.write(`peak ${process.resourceUsage().maxRSS}`))';

/** Runs gospy; its largest memory in MB. */
async function gospy(args: readonly string[]): Promise<number> {
  const { stderr } = await run(process.execPath, ['--import', MEASURED, GOSPY, ...args], OUTPUT);
  return Number(/peak (\d+)/.exec(stderr)?.[1]) / 1e3;
}

interface Made {
  readonly core: string;
  readonly executable: string;
}

/** A core of a program with many goroutines, with holes for its zeros. */
async function coreOf(bench: Bench, folder: string, count: number): Promise<Made> {
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

async function beside(folder: string, { core, executable }: Made): Promise<void> {
  const dlv = delve();
  const [times, peaks, peers]: [number[], number[], number[]] = [[], [], []];
  const script = `printf 'goroutines -group userloc\\nquit\\n' | "${dlv ?? ''}" core "${executable}" "${core}" --allow-non-terminal-interactive=true`;
  for (let i = 0; i < ROUNDS; i++) {
    times.push(await timed(async () => peaks.push(await gospy(['goroutines', core, '--group-by', 'stack']))));
    if (dlv !== null) peers.push(await timed(() => run('sh', ['-c', script], OUTPUT)));
  }
  note('100,000 goroutines: gospy goroutines --group-by stack on a core', times, 'ms');
  note('100,000 goroutines: its memory at most', peaks, 'MB');
  if (dlv !== null) {
    note('100,000 goroutines: Delve core + goroutines -group userloc', peers, 'ms');
    const ratios = times.map((time, i) => time / (peers[i] ?? NaN));
    note("100,000 goroutines: gospy's time over Delve's, in each round", ratios, '');
  }
  const snapshot = join(folder, 'distilled.gsp');
  const distilled: number[] = [];
  const held: number[] = [];
  for (let i = 0; i < 3; i++) {
    distilled.push(await timed(async () => held.push(await gospy(['capture', '--core', core, '-o', snapshot]))));
  }
  note('100,000 goroutines: gospy capture --core', distilled, 'ms');
  note('100,000 goroutines: its memory at most', held, 'MB');
  note(
    '100,000 goroutines: the core, and the snapshot of it',
    [statSync(core).size / 1e6, statSync(snapshot).size / 1e6],
    'MB',
  );
}

/** A small core with 20 GB of heap that nothing was ever written to: a hole in the file. */
async function ofHole(bench: Bench, folder: string): Promise<void> {
  const { core } = await coreOf(bench, folder, 100);
  const huge = join(folder, 'huge.core');
  copyFileSync(core, huge);
  addHole(huge);
  const [times, peaks, bare]: [number[], number[], number[]] = [[], [], []];
  for (let i = 0; i < ROUNDS; i++) {
    times.push(await timed(async () => peaks.push(await gospy(['summary', huge]))));
    bare.push(await timed(() => gospy(['summary', core])));
  }
  note(`gospy summary of a core of ${(statSync(huge).size / 1e9).toFixed(0)} GB, sparse`, times, 'ms');
  note('gospy summary of the same core without the hole', bare, 'ms');
  note('its memory at most', peaks, 'MB');
}

/** Makes a segment of reserved memory one of 20 GB elsewhere, whose content is a hole at the end of the file. */
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
  await ofHole(bench, folder);
  await beside(folder, await coreOf(bench, folder, COUNT));
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

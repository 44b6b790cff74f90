import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo, type GoProcess } from '../test/support/go.js';
import { Bench, delve, GOSPY, median, printRow, run, timed } from './measure.js';

const ROUNDS = 7;
const COUNTS = [10_000, 100_000] as const;
const OUTPUT = { maxBuffer: 2 ** 30 };
/** Makes Node print its peak memory in kB when it exits. */
const PRINT_PEAK =
  'data:text/javascript,process.on("exit",()=>process.stderr.write(`peak ${process.resourceUsage().maxRSS}`))';

interface Medians {
  /** In milliseconds. */
  readonly gospy: number;
  readonly delve: number;
}

/** Runs gospy and returns its peak memory in MB. */
async function gospy(args: readonly string[]): Promise<number> {
  const { stderr } = await run(process.execPath, ['--import', PRINT_PEAK, ...GOSPY, ...args], OUTPUT);
  return Number(/peak (\d+)/.exec(stderr)?.[1]) / 1e3;
}

async function startMany(bench: Bench, count: number): Promise<{ program: GoProcess; path: string }> {
  const path = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
  return { program: await startGo(bench, path, { args: ['-n', String(count)] }), path };
}

/** Measures gospy on a snapshot and Delve on a core of the same program, in turn. */
async function measureStacks(bench: Bench, folder: string, count: number): Promise<Medians> {
  const { program, path } = await startMany(bench, count);
  const pid = String(program.pid);
  const [snapshot, core] = [join(folder, `${count}.gsp`), join(folder, 'core')];
  await run(process.execPath, [...GOSPY, 'capture', '--pid', pid, '-o', snapshot]);
  const dlv = delve();
  if (dlv !== null) await run('gcore', ['-o', core, pid], OUTPUT);
  await program.kill();
  const [times, peaks, peers]: number[][] = [[], [], []];
  for (let i = 0; i < ROUNDS; i++) {
    let peak = 0;
    times?.push(await timed(async () => (peak = await gospy(['goroutines', snapshot, '--group-by', 'stack']))));
    peaks?.push(peak);
    if (dlv === null) continue;
    const script = `printf 'goroutines -group userloc\\nquit\\n' | "${dlv}" core "${path}" "${core}.${pid}" --allow-non-terminal-interactive=true`;
    peers?.push(await timed(() => run('sh', ['-c', script], OUTPUT)));
  }
  rmSync(`${core}.${pid}`, { force: true });
  const name = `${count.toLocaleString('en')} goroutines`;
  printRow(`${name}: gospy goroutines --group-by stack, Node's start included`, times ?? [], 'ms');
  printRow(`${name}: its peak memory`, peaks ?? [], 'MB');
  if (dlv !== null) printRow(`${name}: Delve core + goroutines -group userloc`, peers ?? [], 'ms');
  return { gospy: median(times ?? []), delve: median(peers ?? []) };
}

/** Measures how long it takes until the first goroutine of a snapshot is printed. */
async function measureFirstLine(folder: string, count: number): Promise<void> {
  const snapshot = join(folder, `${count}.gsp`);
  const times: number[] = [];
  const command = [process.execPath, ...GOSPY].map((word) => `"${word}"`).join(' ');
  const script = `${command} goroutines "${snapshot}" --ndjson | head -1`;
  for (let i = 0; i < ROUNDS; i++) times.push(await timed(() => run('sh', ['-c', script])));
  printRow(`${count.toLocaleString('en')} goroutines: gospy goroutines --ndjson | head -1`, times, 'ms');
}

async function measureMillion(bench: Bench, folder: string): Promise<void> {
  const count = 1_000_000;
  const { program } = await startMany(bench, count);
  await run(process.execPath, [...GOSPY, 'capture', '--pid', String(program.pid), '-o', join(folder, `${count}.gsp`)]);
  await program.kill();
  await measureFirstLine(folder, count);
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  process.stdout.write('| what | median | least | most |\n|---|---|---|---|\n');
  const start: number[] = [];
  for (let i = 0; i < ROUNDS; i++)
    start.push(await timed(() => run(process.execPath, [...GOSPY, 'goroutines', '--help'])));
  printRow('gospy goroutines --help: the cost of starting', start, 'ms');
  const [few, lots] = [await measureStacks(bench, folder, COUNTS[0]), await measureStacks(bench, folder, COUNTS[1])];
  const growth = (lots.gospy - median(start)) / (few.gospy - median(start));
  process.stdout.write(`| ... ten times the goroutines cost, beyond the start | ${growth.toFixed(1)} times | | |\n`);
  process.stdout.write(
    `| ... Delve's time for 100,000 is | ${(lots.delve / lots.gospy).toFixed(1)} times gospy's | | |\n`,
  );
  await measureFirstLine(folder, COUNTS[1]);
  await measureMillion(bench, folder);
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo, type GoProcess } from '../test/support/go.js';
import { Bench, delve, GOSPY, median, note, run, timed } from './measure.js';

const ROUNDS = 7;
const COUNTS = [10_000, 100_000] as const;
const OUTPUT = { maxBuffer: 2 ** 30 };
/** Has Node say at its end how much memory it held at most, in kB. */
const MEASURED =
  'data:text/javascript,process.on("exit",()=>process.stderr.write(`peak ${process.resourceUsage().maxRSS}`))';

interface Figures {
  /** Milliseconds. */
  readonly gospy: number;
  readonly delve: number;
}

async function gospy(args: readonly string[]): Promise<number> {
  const { stderr } = await run(process.execPath, ['--import', MEASURED, GOSPY, ...args], OUTPUT);
  return Number(/peak (\d+)/.exec(stderr)?.[1]) / 1e3;
}

async function many(bench: Bench, count: number): Promise<{ program: GoProcess; path: string }> {
  const path = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
  return { program: await startGo(bench, path, { args: ['-n', String(count)] }), path };
}

/** gospy on a snapshot and Delve on a core of the same program, in turn. */
async function at(bench: Bench, folder: string, count: number): Promise<Figures> {
  const { program, path } = await many(bench, count);
  const pid = String(program.pid);
  const [snapshot, core] = [join(folder, `${count}.gsp`), join(folder, 'core')];
  await run(process.execPath, [GOSPY, 'capture', '--pid', pid, '-o', snapshot]);
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
  note(`${name}: gospy goroutines --group-by stack, Node's start included`, times ?? [], 'ms');
  note(`${name}: its memory at most`, peaks ?? [], 'MB');
  if (dlv !== null) note(`${name}: Delve core + goroutines -group userloc`, peers ?? [], 'ms');
  return { gospy: median(times ?? []), delve: median(peers ?? []) };
}

async function atOnce(folder: string, count: number): Promise<void> {
  const snapshot = join(folder, `${count}.gsp`);
  const times: number[] = [];
  const script = `"${process.execPath}" "${GOSPY}" goroutines "${snapshot}" --ndjson | head -1`;
  for (let i = 0; i < ROUNDS; i++) times.push(await timed(() => run('sh', ['-c', script])));
  note(`${count.toLocaleString('en')} goroutines: gospy goroutines --ndjson | head -1`, times, 'ms');
}

async function atMillion(bench: Bench, folder: string): Promise<void> {
  const count = 1_000_000;
  const { program } = await many(bench, count);
  await run(process.execPath, [GOSPY, 'capture', '--pid', String(program.pid), '-o', join(folder, `${count}.gsp`)]);
  await program.kill();
  await atOnce(folder, count);
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  process.stdout.write('| what | median | least | most |\n|---|---|---|---|\n');
  const start: number[] = [];
  for (let i = 0; i < ROUNDS; i++)
    start.push(await timed(() => run(process.execPath, [GOSPY, 'goroutines', '--help'])));
  note('gospy goroutines --help: what it costs to start', start, 'ms');
  const [few, lots] = [await at(bench, folder, COUNTS[0]), await at(bench, folder, COUNTS[1])];
  const growth = (lots.gospy - median(start)) / (few.gospy - median(start));
  process.stdout.write(`| ... ten times the goroutines cost, beyond the start | ${growth.toFixed(1)} times | | |\n`);
  process.stdout.write(
    `| ... Delve's time for 100,000 is | ${(lots.delve / lots.gospy).toFixed(1)} times gospy's | | |\n`,
  );
  await atOnce(folder, COUNTS[1]);
  await atMillion(bench, folder);
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

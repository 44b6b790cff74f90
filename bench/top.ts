import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { buildGo, startGo } from '../test/support/go.js';
import { Tmux } from '../test/support/tmux.js';
import { Bench, GOSPY, printRow, run } from './measure.js';

/** How long each view is watched, in seconds, and how many times. */
const WATCHED_SECONDS = 10;
const ROUNDS = 3;
/** Clock ticks per second in /proc/PID/stat: USER_HZ, the same on all CPUs that gospy runs on. */
const TICKS = 100;

/** Returns the CPU time that a process has used, in seconds. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Returns the peak memory of a process, in MB. */
function peakMegabytes(pid: number): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1000;
}

/** Measures `gospy top` on a program with many goroutines: frames per second, CPU time per second, peak memory. */
async function measureTop(folder: string, goroutines: number, interval: string, groupBy: string): Promise<void> {
  const bench = new Bench();
  const frames: number[] = [];
  const cores: number[] = [];
  const memory: number[] = [];
  try {
    const path = await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' });
    const program = await startGo(bench, path, { args: ['-n', String(goroutines)] });
    for (let round = 0; round < ROUNDS; round++) {
      const tmux = new Tmux(bench, 200, 50, folder);
      const args = `top --pid ${program.pid} --interval ${interval} --group-by ${groupBy}`;
      tmux.type(`(echo $BASHPID > pid; exec ${process.execPath} ${GOSPY.join(' ')} ${args})`);
      await tmux.until((screen) => screen.includes('main.'), 'a frame');
      const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
      const looks = (): number => Number(/, (\d+) looks?/.exec(tmux.screen()[0] ?? '')?.[1]);
      await setTimeout(3000);
      const [begun, looked, used] = [performance.now(), looks(), cpuSeconds(pid)];
      await setTimeout(WATCHED_SECONDS * 1000);
      const seconds = (performance.now() - begun) / 1000;
      frames.push((looks() - looked) / seconds);
      cores.push((cpuSeconds(pid) - used) / seconds);
      memory.push(peakMegabytes(pid));
      tmux.keys('q');
      await tmux.until((screen) => !screen.startsWith('gospy top'), 'the end of top');
    }
  } finally {
    bench.close();
  }
  const what = `top of ${goroutines} goroutines by ${groupBy}, every ${interval}`;
  printRow(`${what}: frames per second`, frames, '');
  printRow(`${what}: cores`, cores, '');
  printRow(`${what}: peak memory`, memory, 'MB');
}

/** Measures comparing two snapshots of one program, and the summary of one of them. */
async function measureDiff(folder: string): Promise<void> {
  const bench = new Bench();
  const timed = async (args: readonly string[]): Promise<number> => {
    const begun = performance.now();
    await run(process.execPath, [...GOSPY, ...args], { maxBuffer: 2 ** 30 });
    return (performance.now() - begun) / 1000;
  };
  try {
    const path = await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' });
    const program = await startGo(bench, path, { args: ['-n', '100000'] });
    const [a, b] = [join(folder, 'a.gsp'), join(folder, 'b.gsp')];
    for (const file of [a, b]) await timed(['capture', '--pid', String(program.pid), '-o', file]);
    await program.kill();
    const kinds = [
      ['diff', a, b],
      ['diff', a, b, '--json'],
      ['diff', a, b, '--group-by', 'stack'],
      ['summary', a],
    ];
    for (const args of kinds) {
      const times: number[] = [];
      for (let round = 0; round < 2 * ROUNDS + 1; round++) times.push(await timed(args));
      const words = args.filter((arg) => arg !== a && arg !== b).join(' ');
      printRow(`${words} of 100,000 goroutines`, times, 's');
    }
  } finally {
    bench.close();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  process.stdout.write('| what | median | least | most |\n|---|---|---|---|\n');
  await measureTop(folder, 1000, '100ms', 'start');
  await measureTop(folder, 1000, '100ms', 'stack');
  await measureTop(folder, 100_000, '1s', 'start');
  await measureTop(folder, 100_000, '1s', 'stack');
  await measureDiff(folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { buildGo, startGo, type GoProcess } from '../test/support/go.js';
import { Bench, GOSPY, largestGap, printRow, run } from './measure.js';

/** What takes turns in each round; `nothing` is the control. */
const MODES = ['nothing', 'live', 'stop', 'clone'] as const;
type Mode = (typeof MODES)[number];
/** How long the control lasts, in milliseconds: about as long as a capture. */
const NOTHING_MS = 400;
/** Threads that spin all the time, in the same session as the program, so that no CPU is ever free. */
const SPINNING = [0, 2, 4];
const ROUNDS = Number(process.argv[2] ?? 25);

/** Captures once. Returns the largest gap that the program felt and the pause that gospy states, in milliseconds. */
async function round(program: GoProcess, mode: Mode, path: string): Promise<{ gapMs: number; pauseMs: number }> {
  let pauseMs = 0;
  const gapMs = await largestGap(program, async () => {
    if (mode === 'nothing') return setTimeout(NOTHING_MS);
    const args = ['capture', '--pid', String(program.pid), '-o', path, '--json', '--mode', mode];
    const { stdout } = await run(process.execPath, [...GOSPY, ...args]);
    pauseMs = (JSON.parse(stdout) as { pauseNs: number }).pauseNs / 1e6;
  });
  return { gapMs, pauseMs };
}

async function measure(bench: Bench, path: string, spinning: number): Promise<void> {
  const executable = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
  const program = await startGo(bench, executable, { args: ['-n', '1000', '-depth', '1'] });
  const others = Array.from({ length: spinning }, () => spawn('/bin/sh', ['-c', 'while :; do :; done']));
  const end = (): void => others.forEach((other) => other.kill('SIGKILL'));
  bench.teardown(end);
  const felt = new Map<Mode, number[]>(MODES.map((mode) => [mode, []]));
  for (let i = 0; i < ROUNDS; i++) {
    for (const mode of MODES) {
      const { gapMs, pauseMs } = await round(program, mode, path);
      felt.get(mode)?.push(Math.max(0, gapMs - pauseMs));
    }
  }
  for (const [mode, values] of felt) {
    const sorted = [...values].sort((a, b) => a - b);
    const high = sorted[Math.floor(sorted.length * 0.95)] ?? NaN;
    printRow(`${spinning} spinning, ${mode} (95th percentile ${high.toFixed(2)})`, values, 'ms');
  }
  end();
  await program.kill();
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-felt-'));
try {
  process.stdout.write('| largest gap beyond the stated pause | median | least | most |\n| --- | --- | --- | --- |\n');
  for (const spinning of SPINNING) await measure(bench, join(folder, 'felt.gsp'), spinning);
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

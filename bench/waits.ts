import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo } from '../test/support/go.js';
import { Command } from './command.js';
import { Bench, GOSPY, printRow } from './measure.js';

const ROUNDS = 7;
const SNAPSHOTS = 50;

const PROGRAM = { fixture: 'crowd', release: '1.26', link: 'stripped' } as const;

/** What `capture --json` says. */
interface Report {
  readonly mode: string;
  readonly pauseNs: number;
  readonly leaks: unknown;
}

/** Half of the goroutines wait for one lock, half to receive. */
async function measureWaits(folder: string): Promise<void> {
  const bench = new Bench();
  try {
    const program = await startGo(bench, await buildGo(PROGRAM), { args: ['-behind', '50000', '-idle', '50000'] });
    const file = join(folder, 'behind.gsp');
    await new Command('capture', ...GOSPY, 'capture', '--pid', String(program.pid), '-o', file).run();
    await program.kill();
    const node = new Command('Node, which does nothing', '--eval', '0');
    const commands = ['waits', 'summary'].map(
      (name) => new Command(`${name}, 50,000 behind a lock`, ...GOSPY, name, file),
    );
    for (let round = 0; round < ROUNDS; round++) for (const command of [node, ...commands]) await command.run();
    for (const command of [node, ...commands]) command.print(true);
  } finally {
    bench.close();
  }
}

/** With the proof and without it, in turn. Without it, gospy stops the program if that is shorter than to clone it. */
async function measureProof(folder: string): Promise<void> {
  const bench = new Bench();
  try {
    const program = await startGo(bench, await buildGo(PROGRAM), { args: ['-idle', '1000', '-heap', '960'] });
    const args = ['capture', '--pid', String(program.pid), '-o', join(folder, 'heap.gsp'), '--json', '--mode', 'clone'];
    const kinds = [
      { command: new Command('capture --mode clone, 960 MB of objects', ...GOSPY, ...args), pauses: [] as number[] },
      { command: new Command('the same with --leaks', ...GOSPY, ...args, '--leaks'), pauses: [] as number[] },
    ];
    const modes = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const { command, pauses } of kinds) {
        const { mode, pauseNs, leaks } = JSON.parse(await command.run()) as Report;
        pauses.push(pauseNs / 1e6);
        modes.add(`${mode} ${leaks === null ? 'without' : 'with'} a proof`);
      }
    }
    for (const { command, pauses } of kinds) {
      command.print(true);
      printRow(`${command.name}: pause`, pauses, 'ms');
    }
    bench.comment(`modes: ${[...modes].join(', ')}`);
  } finally {
    bench.close();
  }
}

/** A program of 10,000 goroutines, and ten more in each snapshot. */
async function measureGrowth(folder: string): Promise<void> {
  const bench = new Bench();
  try {
    const program = await startGo(bench, await buildGo(PROGRAM), { args: ['-idle', '10000'] });
    const files = Array.from({ length: SNAPSHOTS }, (_, i) => join(folder, `${i}.gsp`));
    for (const file of files) {
      await program.ask('more');
      await new Command('capture', ...GOSPY, 'capture', '--pid', String(program.pid), '-o', file).run();
    }
    const leaks = new Command(`leaks over ${SNAPSHOTS} snapshots of 10,000`, ...GOSPY, 'leaks', ...files);
    for (let round = 0; round < ROUNDS; round++) await leaks.run();
    leaks.print(true);
  } finally {
    bench.close();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-waits-'));
try {
  process.stdout.write('| what | median | least | most |\n| --- | --- | --- | --- |\n');
  await measureWaits(folder);
  await measureProof(folder);
  await measureGrowth(folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

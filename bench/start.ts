import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo } from '../test/support/go.js';
import { Command } from './command.js';
import { Bench, GOSPY } from './measure.js';

const ROUNDS = 11;

/** Measures commands in alternation, so that all of them meet the same load of the machine. */
async function measure(commands: readonly Command[]): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) for (const command of commands) await command.run();
  for (const command of commands) command.print();
}

const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-start-'));
const bench = new Bench();
try {
  const path = await buildGo({ fixture: 'many', release: '1.26', link: 'stripped' });
  process.stdout.write('| what | median | least | most |\n| --- | --- | --- | --- |\n');
  for (const goroutines of ['1000', '100000']) {
    const { pid } = await startGo(bench, path, { args: ['-n', goroutines] });
    const file = join(folder, `${goroutines}.gsp`);
    const count = Number(goroutines).toLocaleString('en');
    await measure([
      new Command('Node, which does nothing', '--eval', '0'),
      new Command('gospy --version', ...GOSPY, '--version'),
      new Command(`gospy capture, ${count} goroutines`, ...GOSPY, 'capture', '--pid', String(pid), '-o', file),
      new Command(`gospy summary, ${count} goroutines`, ...GOSPY, 'summary', file),
    ]);
  }
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo } from '../test/support/go.js';
import { Bench, GOSPY, printRow, timed } from './measure.js';

const ROUNDS = 11;

/**
 * Prints what it was given to run has cost, in milliseconds of CPU time, when the process ends. Loaded into each command,
 * since Node tells a parent nothing of the CPU time of a child.
 */
const REPORT = `data:text/javascript,${encodeURIComponent(
  "process.on('exit', () => { const { user, system } = process.cpuUsage(); process.stderr.write('cpu ' + (user + system) / 1000 + '\\n'); });",
)}`;

/** One command, and what its runs took. */
class Command {
  readonly walls: number[] = [];
  readonly cpus: number[] = [];
  readonly name: string;
  readonly #args: readonly string[];

  constructor(name: string, ...args: readonly string[]) {
    this.name = name;
    this.#args = args;
  }

  async run(): Promise<void> {
    const child = spawn(process.execPath, ['--import', REPORT, ...this.#args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    this.walls.push(await timed(() => once(child, 'close')));
    if (child.exitCode !== 0) throw new Error(`${this.name} failed: ${stderr}`);
    this.cpus.push(Number(/^cpu (.*)$/m.exec(stderr)?.[1]));
  }
}

/** Measures commands in alternation, so that all of them meet the same load of the machine. */
async function measure(commands: readonly Command[]): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) for (const command of commands) await command.run();
  for (const { name, walls, cpus } of commands) {
    printRow(`${name}: from start to end`, walls, 'ms');
    printRow(`${name}: CPU time`, cpus, 'ms');
  }
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
      new Command('gospy --version', GOSPY, '--version'),
      new Command(`gospy capture, ${count} goroutines`, GOSPY, 'capture', '--pid', String(pid), '-o', file),
      new Command(`gospy summary, ${count} goroutines`, GOSPY, 'summary', file),
    ]);
  }
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

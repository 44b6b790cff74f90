import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { printRow, timed } from './measure.js';

/**
 * Prints what it was given to run has cost when the process ends: milliseconds of CPU time, and MB of memory at the most. Loaded
 * into each command, since Node tells a parent neither of a child.
 */
const REPORT = `data:text/javascript,${encodeURIComponent(
  "process.on('exit', () => { const { user, system } = process.cpuUsage(); process.stderr.write('cost ' + (user + system) / 1000 + ' ' + process.resourceUsage().maxRSS / 1000 + '\\n'); });",
)}`;

/** One command, and what its runs took. */
export class Command {
  readonly walls: number[] = [];
  readonly cpus: number[] = [];
  readonly peaks: number[] = [];
  readonly name: string;
  readonly #args: readonly string[];

  constructor(name: string, ...args: readonly string[]) {
    this.name = name;
    this.#args = args;
  }

  /** Runs it once, and returns what it printed. */
  async run(): Promise<string> {
    const child = spawn(process.execPath, ['--import', REPORT, ...this.#args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, err]: [string[], string[]] = [[], []];
    child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text));
    this.walls.push(await timed(() => once(child, 'close')));
    const stderr = err.join('');
    if (child.exitCode !== 0) throw new Error(`${this.name} failed: ${stderr}`);
    const [, cpu, peak] = /^cost (\S+) (\S+)$/m.exec(stderr) ?? [];
    this.cpus.push(Number(cpu));
    this.peaks.push(Number(peak));
    return out.join('');
  }

  /** Prints the rows of the table, with those of memory if it matters. */
  print(withMemory = false): void {
    printRow(`${this.name}: from start to end`, this.walls, 'ms');
    printRow(`${this.name}: CPU time`, this.cpus, 'ms');
    if (withMemory) printRow(`${this.name}: memory at the most`, this.peaks, 'MB');
  }
}

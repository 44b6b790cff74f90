import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo, type GoProcess } from '../test/support/go.js';
import { Bench, delve, GOSPY, numberOption } from './measure.js';
import { publish } from './readme.js';

const COUNT = numberOption('--goroutines', 1_000_000);
/** A step that takes longer is given up. */
const LIMIT_S = numberOption('--limit', 600);
/** What the program and a reader of it need at most, in bytes for each goroutine. */
const NEEDED_BYTES = 15_000;
/** How often the peak memory of a step is looked at, in milliseconds. It ends with the process. */
const LOOK_MS = 20;

interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** What is written to its standard input. */
  readonly input?: string;
  /** Where its output goes: to this file, or nowhere. */
  readonly output?: string;
  /** Whether it is read no further than to the end of the first line, as by `head -1`. */
  readonly firstLine?: true;
}

interface Outcome {
  readonly seconds: number;
  readonly peakMb: number;
  /** Why there is no result: it failed, or was given up; null if it is done. */
  readonly failure: string | null;
}

/** Runs a command to its end, or until it is given up. */
async function watch(command: Command): Promise<Outcome> {
  const output = openSync(command.output ?? '/dev/null', 'w');
  const stdout = command.firstLine === true ? 'pipe' : output;
  const begun = performance.now();
  const limited = { timeout: LIMIT_S * 1000, killSignal: 'SIGKILL' } as const;
  const child = spawn(command.file, command.args, { ...limited, stdio: ['pipe', stdout, 'pipe'] });
  closeSync(output);
  let peakMb = 0;
  const looking = setInterval(() => (peakMb = Math.max(peakMb, peakOf(child))), LOOK_MS);
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-2000)));
  child.stdout?.on('data', (bytes: Buffer) => bytes.includes('\n') && child.stdout?.destroy());
  child.stdin?.on('error', () => undefined).end(command.input);
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  clearInterval(looking);
  const seconds = (performance.now() - begun) / 1000;
  if (seconds >= LIMIT_S) return { seconds, peakMb, failure: `did not finish: given up after ${LIMIT_S} s` };
  if (code === 0) return { seconds, peakMb, failure: null };
  process.stderr.write(errors);
  return { seconds, peakMb, failure: `failed: ${errors.trim().split('\n').at(-1) ?? ''}` };
}

/** The most memory that a process has had, in MB; 0 once it has ended. */
function peakOf({ pid }: ChildProcess): number {
  try {
    return memoryOf(pid ?? 0, 'VmHWM');
  } catch {
    return 0;
  }
}

function memoryOf(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1000;
}

/** The table, a row for each step. Each is shown on stderr as soon as it is done. */
class Table {
  #text = `| ${COUNT.toLocaleString('en')} goroutines | time | peak memory | |\n| --- | --- | --- | --- |\n`;

  get text(): string {
    return this.#text;
  }

  /** Runs a command as a step, and adds its row. `note` says what else there is to say once it is done. */
  async step(name: string, command: Command, note: () => string = () => ''): Promise<void> {
    const { seconds, peakMb, failure } = await watch(command);
    const time = failure === null ? `${seconds.toFixed(seconds < 10 ? 2 : 1)} s` : '';
    this.row(name, time, size(peakMb), failure ?? note());
  }

  /**
   * As {@link step}, of a command that reads the living program: its row also says what the program felt. Where the command
   * was given up, the program may not be able to say it any more.
   */
  async liveStep(program: GoProcess, name: string, command: Command, note: () => string): Promise<void> {
    await program.ask('gap');
    const { seconds, peakMb, failure } = await watch(command);
    const time = failure === null ? `${seconds.toFixed(1)} s` : '';
    const felt = failure === null ? Number(await program.ask('gap')) / 1e6 : NaN;
    const notes = failure ?? `${note()}; the largest gap that the program felt: ${felt.toFixed(0)} ms`;
    this.row(name, time, size(peakMb), notes);
  }

  row(...cells: readonly string[]): void {
    const row = `| ${cells.join(' | ')} |\n`;
    process.stderr.write(row);
    this.#text += row;
  }
}

/** A size in MB as text. */
function size(megabytes: number): string {
  return megabytes >= 1000 ? `${(megabytes / 1000).toFixed(1)} GB` : `${megabytes.toFixed(0)} MB`;
}

function gospy(...args: readonly string[]): Command {
  return { file: process.execPath, args: [...GOSPY, ...args] };
}

/** What is used of the document that `gospy capture --json` prints. */
interface CaptureDocument {
  readonly mode: string;
  readonly pauseNs: number;
  readonly bytesWritten: number;
  readonly partial: boolean;
}

function captureNote(path: string): string {
  const { mode, pauseNs, bytesWritten, partial } = JSON.parse(readFileSync(path, 'utf8')) as CaptureDocument;
  const pause = mode === 'live' ? 'no stop' : `${mode} of ${(pauseNs / 1e6).toFixed(1)} ms`;
  return `${pause}; file of ${size(bytesWritten / 1e6)}${partial ? ', partial' : ''}`;
}

async function measureLive(table: Table, program: GoProcess, folder: string): Promise<void> {
  const pid = String(program.pid);
  const json = join(folder, 'capture.json');
  for (const mode of ['stop', 'clone', 'live']) {
    const words = ['capture', '--pid', pid, '-o', join(folder, `${mode}.gsp`), '--mode', mode, '--json'];
    const command = { ...gospy(...words), output: json };
    await table.liveStep(program, `\`gospy capture --mode ${mode}\``, command, () => captureNote(json));
  }
  await table.liveStep(program, '`gospy top --once`', gospy('top', '--pid', pid, '--once'), () => 'no stop');
}

async function measureFiles(table: Table, folder: string): Promise<void> {
  const [a, b, core] = ['stop.gsp', 'clone.gsp', 'gospy.core'].map((name) => join(folder, name)) as Three;
  await table.step('`gospy summary`', gospy('summary', a));
  await table.step('`gospy goroutines --group-by stack`', gospy('goroutines', a, '--group-by', 'stack'));
  const lines: Command = { ...gospy('goroutines', a, '--ndjson'), firstLine: true };
  await table.step('`gospy goroutines --ndjson \\| head -1`', lines);
  await table.step('`gospy diff` of two', gospy('diff', a, b));
  const exporting = gospy('export', a, '--format', 'core', '-o', core);
  await table.step('`gospy export --format core`', exporting, () => `file of ${fileSize(core)}`);
  rmSync(core, { force: true });
}

type Three = [string, string, string];

function fileSize(path: string): string {
  return size(statSync(path).size / 1e6);
}

/** Delve comes last: where it is given up, it may leave the program with its breakpoints. */
async function measureDelve(table: Table, program: GoProcess, executable: string, folder: string): Promise<void> {
  const dlv = delve();
  if (dlv === null) return;
  const core = join(folder, 'dlv.core');
  const interactive = '--allow-non-terminal-interactive=true';
  const attach = { file: dlv, args: ['attach', String(program.pid), interactive], input: `dump ${core}\nquit\nn\n` };
  await table.liveStep(program, 'Delve attach + dump', attach, () => `file of ${fileSize(core)}`);
  await program.kill();
  const listing = { file: dlv, args: ['core', executable, core, interactive] };
  const input = 'goroutines -group userloc\nquit\n';
  await table.step('Delve core + goroutines -group userloc', { ...listing, input });
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  if (freemem() < COUNT * NEEDED_BYTES) {
    throw new Error(
      `this needs ${size((COUNT * NEEDED_BYTES) / 1e6)} of memory, and ${size(freemem() / 1e6)} are free`,
    );
  }
  const table = new Table();
  const executable = await buildGo({ fixture: 'many', release: '1.26', link: 'plain' });
  const program = await startGo(bench, executable, { args: ['-n', String(COUNT)] });
  table.row('the program', '', size(memoryOf(program.pid, 'VmRSS')), 'resident');
  await measureLive(table, program, folder);
  await measureFiles(table, folder);
  await measureDelve(table, program, executable, folder);
  process.stdout.write(table.text);
  if (process.argv.includes('--write')) publish('bench:scale', table.text);
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

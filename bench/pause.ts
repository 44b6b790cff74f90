import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo, type GoProcess } from '../test/support/go.js';
import { buildFloor, writePlan } from './floor-plan.js';
import { Bench, largestGap, GOSPY, median, peersOn, run, timed } from './measure.js';
import { publish } from './readme.js';

/** The programs that are measured; the names are columns of the table in the README. */
const TARGETS = [
  { name: '1,000 goroutines', args: ['-n', '1000', '-depth', '1'] },
  { name: '100,000 goroutines', args: ['-n', '100000', '-depth', '1'] },
  { name: '1,000 with 1 GB of heap', args: ['-n', '1000', '-depth', '1', '-heap', '1024'] },
] as const;
const FLOORS = {
  registers: 'registers only',
  gs: 'the gs, each checked',
  all: 'everything',
  clone: 'a clone',
} as const;
type Floor = keyof typeof FLOORS;
/** How many times gospy and the floor take turns. A peer takes seconds each time. */
const ROUNDS = 11;
const PEER_ROUNDS = 3;

/** A table whose rows have one value for each target. */
class Table {
  readonly #rows = new Map<string, string[]>();

  /** Adds the median of `values` to a row. With `than`, also how many times the median of `than` it is. */
  add(row: string, values: readonly number[], unit: string, than?: readonly number[]): void {
    const times = than === undefined ? '' : ` (${(median(values) / median(than)).toFixed(1)} x)`;
    const cell = `${figure(median(values))} ${unit}${times}`;
    process.stderr.write(
      `${row}: ${cell}, least ${figure(Math.min(...values))}, most ${figure(Math.max(...values))}\n`,
    );
    this.addCell(row, cell);
  }

  addCell(row: string, cell: string): void {
    this.#rows.set(row, [...(this.#rows.get(row) ?? []), cell]);
  }

  text(): string {
    const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
    const head = line(['median', ...TARGETS.map(({ name }) => name)]) + line(['---', ...TARGETS.map(() => '---')]);
    return head + [...this.#rows].map(([row, cells]) => line([row, ...cells])).join('');
  }
}

/** Formats a number with two or three digits, or with a comma for thousands. */
function figure(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(value >= 10 ? 3 : 2);
}

interface Captured {
  /** The mode that gospy used: `stop` if it refused to clone the process. */
  readonly mode: string;
  readonly pauseMs: number;
  readonly gapMs: number;
  readonly commandMs: number;
  readonly peakMb: number;
}

async function capture(program: GoProcess, path: string, mode: string): Promise<Captured> {
  let stdout = '';
  let commandMs = 0;
  const peak = 'process.on("exit",()=>require("fs").writeSync(2,"peak "+process.resourceUsage().maxRSS+"\\n"))';
  const args = [
    '--import',
    `data:text/javascript,import{createRequire}from"module";const require=createRequire("/");${peak}`,
  ];
  let stderr = '';
  const gapMs = await largestGap(program, async () => {
    commandMs = await timed(async () => {
      const pid = String(program.pid);
      const rest = [...GOSPY, 'capture', '--pid', pid, '-o', path, '--json', '--mode', mode];
      ({ stdout, stderr } = await run(process.execPath, [...args, ...rest]));
    });
  });
  const { mode: taken, pauseNs } = JSON.parse(stdout) as { mode: string; pauseNs: number };
  const peakMb = Number(/^peak (\d+)$/m.exec(stderr)?.[1]) / 1e3;
  return { mode: taken, pauseMs: pauseNs / 1e6, gapMs, commandMs, peakMb };
}

/** Measures one program and adds a column. The program is not stripped, since Delve could not list its goroutines. */
async function measure(bench: Bench, table: Table, folder: string, args: readonly string[]): Promise<void> {
  const program = await startGo(bench, await buildGo({ fixture: 'many', release: '1.26', link: 'plain' }), { args });
  const [floor, plan, path] = [join(folder, 'floor'), join(folder, 'plan'), join(folder, 'bench.gsp')];
  writePlan(program.pid, plan);
  const floors = new Map<Floor, number[]>((Object.keys(FLOORS) as Floor[]).map((name) => [name, []]));
  const stop: Captured[] = [];
  const clone: Captured[] = [];
  const live: Captured[] = [];
  const idle: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    for (const [name, values] of floors) {
      const out = execFileSync(floor, [String(program.pid), plan, name], { encoding: 'utf8' });
      values.push(Number(out.split(' ')[0]) / 1e6);
    }
    stop.push(await capture(program, path, 'stop'));
    clone.push(await capture(program, path, 'clone'));
    if (i % 4 === 0) live.push(await capture(program, path, 'live'));
    idle.push(await largestGap(program, () => new Promise((done) => setTimeout(done, 500))));
  }
  const pauses = stop.map(({ pauseMs }) => pauseMs);
  for (const [name, values] of floors) table.add(`C floor: ${FLOORS[name]}`, values, 'ms');
  table.add('`--mode stop`, as gospy reports it', pauses, 'ms');
  table.add('... against the floor that reads everything', pauses, 'ms', floors.get('all'));
  table.add('... against the floor that reads the gs', pauses, 'ms', floors.get('gs'));
  table.add(
    '... largest gap that the program felt',
    stop.map(({ gapMs }) => gapMs),
    'ms',
  );
  const cloned = clone.filter(({ mode }) => mode === 'clone').map(({ pauseMs }) => pauseMs);
  if (cloned.length > 0) {
    table.add('`--mode clone`, as gospy reports it', cloned, 'ms');
    table.add('... against the floor that clones', cloned, 'ms', floors.get('clone'));
  } else {
    table.addCell('`--mode clone`, as gospy reports it', 'stopped instead');
    table.addCell('... against the floor that clones', '');
  }
  table.add(
    '`--mode live`, largest gap that the program felt',
    live.map(({ gapMs }) => gapMs),
    'ms',
  );
  table.add('no capture, largest gap in half a second', idle, 'ms');
  for (const { name, action } of peersOn(program.pid, folder)) {
    const gaps: number[] = [];
    for (let i = 0; i < PEER_ROUNDS; i++) {
      gaps.push(await largestGap(program, action));
      rmSync(join(folder, 'dlv.core'), { force: true });
    }
    table.add(`${name}, largest gap that the program felt`, gaps, 'ms');
  }
  table.add(
    'the whole command',
    stop.map(({ commandMs }) => commandMs),
    'ms',
  );
  table.add(
    'peak memory of gospy',
    stop.map(({ peakMb }) => peakMb),
    'MB',
  );
  table.add('the snapshot', [statSync(path).size / 1e6], 'MB');
  await program.kill();
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  buildFloor(join(folder, 'floor'));
  const table = new Table();
  for (const { args } of TARGETS) await measure(bench, table, folder, args);
  process.stdout.write(table.text());
  if (process.argv.includes('--write')) publish('bench:pause', table.text());
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

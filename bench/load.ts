import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGo, startGo, type GoProcess } from '../test/support/go.js';
import { Load } from '../test/support/load.js';
import { buildFloor, writePlan } from './floor-plan.js';
import { Bench, GOSPY, median, numberOption, peersOn, percentile, run } from './measure.js';

/** What is measured: a program, and how many processes spin beside it. */
const SCENARIOS = [
  ...[0, 4, 8, 10, 20].map((load) => ({ name: '1,000 parked', args: ['-n', '1000', '-depth', '1'], load })),
  { name: '1,000 parked, 4 spin', args: ['-n', '1000', '-depth', '1', '-spin', '4'], load: 0 },
  ...[0, 10].map((load) => ({
    name: '10,000 in pairs, 4 spin',
    args: ['-n', '0', '-pairs', '5000', '-spin', '4'],
    load,
  })),
] as const;
/** How many times everything takes its turn; `--rounds` changes it. Delve takes seconds, and has a turn in every fourth. */
const ROUNDS = numberOption('--rounds', 20);
const PEER_EVERY = 4;
const PEER = 'Delve attach + dump';

/** One turn. Times are in milliseconds. */
interface Turn {
  /** How long the program stood still, as the tool says; null if it does not say it. */
  readonly pauseMs: number | null;
  readonly partial: boolean;
  /** Further times that are rows of their own. */
  readonly details: Readonly<Record<string, number>>;
}

interface Measured extends Turn {
  /** The largest gap that the program felt. */
  readonly gapMs: number;
}

const NOTHING: Turn = { pauseMs: null, partial: false, details: {} };

/** What takes turns, by the name of its row. */
type Tools = ReadonlyMap<string, () => Promise<Turn>>;

function toolsOn(program: GoProcess, folder: string): Tools {
  const pid = String(program.pid);
  const floor = async (what: string): Promise<Turn> => {
    const { stdout } = await run(join(folder, 'floor'), [pid, join(folder, 'plan'), what]);
    const [pauseNs = NaN, , waitedNs = NaN] = stdout.split(' ').map(Number);
    return { pauseMs: pauseNs / 1e6, partial: false, details: { 'waiting for threads': waitedNs / 1e6 } };
  };
  const capture = async (mode: string): Promise<Turn> => {
    const words = [...GOSPY, 'capture', '--pid', pid, '-o', join(folder, 'load.gsp'), '--json', '--mode', mode];
    const { stdout } = await run(process.execPath, words);
    return gospyTurn(JSON.parse(stdout) as CaptureDocument, mode);
  };
  const tools = new Map<string, () => Promise<Turn>>([
    ['nothing, for half a second', () => new Promise((done) => setTimeout(() => done(NOTHING), 500))],
    ['C floor: stop, read everything', () => floor('all')],
    ['gospy, `--mode stop`', () => capture('stop')],
    ['C floor: clone', () => floor('clone')],
    ['gospy, `--mode clone`', () => capture('clone')],
  ]);
  const peer = peersOn(program.pid, folder).find(({ name }) => name === PEER);
  if (peer !== undefined) {
    tools.set(PEER, async () => {
      await peer.action();
      rmSync(join(folder, 'dlv.core'), { force: true });
      return NOTHING;
    });
  }
  return tools;
}

/** Has a tool take its turn, and asks the program what it felt of that. */
async function feel(program: GoProcess, act: () => Promise<Turn>): Promise<Measured> {
  await program.ask('gap');
  const turn = await act();
  return { ...turn, gapMs: Number(await program.ask('gap')) / 1e6 };
}

/** What is used of the document that `gospy capture --json` prints. */
interface CaptureDocument {
  readonly mode: string;
  readonly pauseNs: number;
  readonly partial: boolean;
  readonly lateThreads?: number;
  readonly longestLateNs?: number;
}

function gospyTurn({ mode, pauseNs, partial, lateThreads, longestLateNs }: CaptureDocument, wanted: string): Turn {
  if (mode !== wanted) throw new Error(`gospy did not use --mode ${wanted}, but ${mode}`);
  const late = lateThreads === undefined ? {} : { 'late threads': lateThreads };
  const longest = longestLateNs === undefined ? {} : { 'longest time of a late thread': longestLateNs / 1e6 };
  return { pauseMs: pauseNs / 1e6, partial, details: { ...late, ...longest } };
}

/** Measures one scenario and prints its rows. */
async function measure(bench: Bench, folder: string, { name, args, load }: (typeof SCENARIOS)[number]): Promise<void> {
  const program = await startGo(bench, await buildGo({ fixture: 'many', release: '1.26', link: 'plain' }), { args });
  const tools = toolsOn(program, folder);
  const turns = new Map<string, Measured[]>([...tools.keys()].map((tool) => [tool, []]));
  const spinning = new Load(load);
  try {
    for (let i = 0; i < ROUNDS; i++) {
      writePlan(program.pid, join(folder, 'plan'));
      for (const [tool, act] of tools) {
        if (tool === PEER && i % PEER_EVERY !== 0) continue;
        turns.get(tool)?.push(await feel(program, act));
      }
      process.stderr.write(`${name}, load ${load}: round ${i + 1} of ${ROUNDS}\n`);
    }
  } finally {
    spinning.end();
    await program.kill();
  }
  for (const [tool, all] of turns) printTool(`${name} | ${load}`, tool, all);
}

/** Prints the rows of one tool: one for its pauses, then one for each detail. */
function printTool(scenario: string, tool: string, all: readonly Measured[]): void {
  const pauses = all.flatMap(({ pauseMs }) => (pauseMs === null ? [] : [pauseMs]));
  const gaps = all.map(({ gapMs }) => gapMs);
  const partial = all.filter((turn) => turn.partial).length;
  const share = tool.startsWith('gospy') ? `${partial} of ${all.length}` : '';
  process.stdout.write(`| ${scenario} | ${tool} | ${spread(pauses)} | ${spread(gaps)} | ${share} |\n`);
  for (const detail of new Set(all.flatMap(({ details }) => Object.keys(details)))) {
    const values = all.map(({ details }) => details[detail] ?? NaN);
    process.stdout.write(`| ${scenario} | ... ${detail} | ${spread(values)} | | | |\n`);
  }
}

/** The cells of the median and of the 95th percentile. */
function spread(values: readonly number[]): string {
  if (values.length === 0) return ' | ';
  return `${median(values).toFixed(2)} | ${percentile(values, 0.95).toFixed(2)}`;
}

const bench = new Bench();
const folder = mkdtempSync(join(tmpdir(), 'gospy-bench-'));
try {
  buildFloor(join(folder, 'floor'));
  process.stdout.write('| program | load | what | pause, ms | 95 % | felt, ms | 95 % | partial |\n');
  process.stdout.write('| --- | --- | --- | --- | --- | --- | --- | --- |\n');
  for (const scenario of SCENARIOS) await measure(bench, folder, scenario);
} finally {
  bench.close();
  rmSync(folder, { recursive: true, force: true });
}

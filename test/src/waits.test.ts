import { join } from 'node:path';
import t from 'tap';
import type { WaitCycle, WaitEdge, WaitingGoroutine, WaitRoot } from '../../analyze/report/wait-documents.js';
import type { Summary } from '../../analyze/report/model.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { cellName } from '../support/releases.js';
import { STUCK_CELLS } from '../support/wait-cells.js';
import { gospyHere } from './gospy-here.js';

/** Each program stands in two dozen ways, each of about a second. */
const CELL_MS = 60_000;

t.setTimeout(300_000 + CELL_MS * STUCK_CELLS.length);

interface Waits {
  readonly goroutines: WaitingGoroutine[];
  readonly edges: WaitEdge[];
  readonly cycles: WaitCycle[];
  readonly roots: WaitRoot[];
}

/** The lines in which the cause has to stand. */
const FIRST_LINES = 5;
/** Cycles are equal wherever they are said to begin. */
function fromLowest(goids: readonly number[]): number[] {
  const at = goids.indexOf(Math.min(...goids));
  return [...goids.slice(at), ...goids.slice(0, at)];
}

async function documentOf<T>(args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await gospyHere([...args, '--json']);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

/** What the program says the cause is, by its first word. */
function causeOf(output: string, word: string): string[] | null {
  const line = output.split('\n').find((text) => text.startsWith(`${word} `));
  return line === undefined ? null : line.split(' ').slice(1);
}

/** Words that the first lines must have, with what stands still in them. */
interface Way {
  readonly name: string;
  readonly says: RegExp;
  /** Whether summary tells of it. */
  readonly inSummary?: 'deadlock' | 'lock-waiters';
}

const WAYS: readonly Way[] = [
  { name: 'abba', says: /DEADLOCK/, inSummary: 'deadlock' },
  { name: 'again', says: /DEADLOCK/, inSummary: 'deadlock' },
  { name: 'ring', says: /POSSIBLE DEADLOCK/ },
  { name: 'lostdone', says: /WaitGroup .*\(counter 1\)[^]*no\s+goroutine\s+found\s+that\s+would\s+call\s+Done/ },
  { name: 'pool', says: /POSSIBLE DEADLOCK/ },
  { name: 'once', says: /DEADLOCK[^]*Once/, inSummary: 'deadlock' },
  { name: 'flight', says: /^POSSIBLE DEADLOCK {2}\d+ waits for itself; 3 more/ },
  { name: 'deferred', says: /^POSSIBLE DEADLOCK {2}\d+ waits for itself; 3 more/ },
  { name: 'nested', says: /^\d+ in main\.[^]* waits for WaitGroup/ },
  { name: 'field', says: /WaitGroup [^]*,\s+its\s+Done\s+perhaps\s+due\s+from\s+\d+/ },
  { name: 'handed', says: /WaitGroup [^]*call\s+Done:\s+one\s+in\s+main\.attend\s+refers\s+to\s+it,\s+and\s+may/ },
  { name: 'ended', says: /no\s+holder\s+found:\s+its\s+goroutine\s+may\s+have\s+ended/ },
  { name: 'self', says: /DEADLOCK/, inSummary: 'deadlock' },
  { name: 'full', says: /POSSIBLE DEADLOCK/ },
  { name: 'sql', says: /POSSIBLE DEADLOCK[^]*60\s+more\s+wait/, inSummary: 'deadlock' },
  {
    name: 'conns',
    says: /^\d+ in main\.\(\*reader\)\.abort waits for Cond [^]*,\s+no\s+goroutine\s+found\s+that\s+would\s+signal/,
  },
  {
    name: 'result',
    says: /waits\s+to\s+send\s+on\s+chan\s+error\s+[^]*,\s+no\s+goroutine\s+found\s+that\s+would\s+receive/,
  },
  {
    name: 'stream',
    says: /^12 goroutines in main\.receive wait in a select [^]*each\s+on\s+its\s+own,\s+nobody\s+found/,
  },
  { name: 'slow', says: /^40 goroutines wait for Mutex/, inSummary: 'lock-waiters' },
  { name: 'global', says: /^12 goroutines wait to send on chan [^]*may\s+be\s+received\s+by/ },
  {
    name: 'mixed',
    says: /^7 goroutines in main\.mixed\.func\d+ wait to receive from chan [^]*,\s+4\s+of\s+them\s+in\s+a\s+select/,
  },
  { name: 'consumer', says: /^17 goroutines wait to send on chan int [^]*,\s+may\s+be\s+received\s+by/ },
  {
    name: 'cancel',
    says: /^12 goroutines in main\.watch wait to receive from chan struct {} [^]*each\s+on\s+its\s+own/,
  },
  { name: 'abandoned', says: /^12 goroutines in main\.ask\.func1 wait to send on chan int [^]*each\s+on\s+its\s+own/ },
  {
    name: 'selects',
    says: /^12 goroutines in main\.\(\*connection\)\.serve wait in a select [^]*each\s+on\s+its\s+own,\s+nobody\s+found/,
  },
];

for (const cell of STUCK_CELLS) {
  for (const { name, says, inSummary } of WAYS) {
    t.test(`waits: the cause stands in the first lines (${name}, ${cellName(cell)})`, async (t) => {
      if (!requireGo(t)) return;
      const program = await startGo(t, await buildGo(cell), { args: [name] });
      await untilQuiet(program.pid);
      const file = join(temporaryFolder(t), 'stuck.gsp');
      const live = ['--pid', String(program.pid)];
      const texts = [await gospyHere(['waits', ...live])];
      t.equal((await gospyHere(['capture', ...live, '-o', file])).code, 0);
      await program.kill();
      texts.push(await gospyHere(['waits', file]));
      const cycle = causeOf(program.stdout, 'cycle')?.map(Number) ?? null;
      const named = cycle ?? [
        ...(causeOf(program.stdout, 'nobody') ?? []),
        ...(causeOf(program.stdout, 'holder') ?? []),
      ];
      for (const { stdout } of texts) {
        const first = stdout.split('\n').slice(0, FIRST_LINES).join('\n');
        t.match(first, says);
        for (const word of named) t.match(first, new RegExp(`\\b${word}\\b`), `it names ${word}`);
        t.ok(
          stdout.split('\n').every((line) => line.length <= 80),
          'no line is too long',
        );
      }
      const waits = await documentOf<Waits>(['waits', file]);
      const cycles = waits.cycles.map(({ goids }) => fromLowest(goids));
      if (cycle !== null) t.same(cycles, [fromLowest(cycle)]);
      else if (name !== 'pool') t.same(cycles, [], 'there is no deadlock');
      const ids = new Set(waits.goroutines.map(({ goid }) => goid));
      t.ok(
        waits.edges.every(({ from, evidence }) => ids.has(from) && evidence.length > 0),
        'who is named waits, and there is evidence of whom for',
      );
      const { findings } = await documentOf<Summary>(['summary', file]);
      const codes = findings.map(({ code }) => code);
      if (inSummary === undefined) t.notOk(codes.some((code) => code === 'deadlock' || code === 'lock-waiters'));
      else t.equal(codes[0], inSummary);
    });
  }
}

t.test('waits: of selects, each is told once, and none that a timer ends', async (t) => {
  const [cell] = STUCK_CELLS;
  if (cell === undefined || !requireGo(t)) return;
  const program = await startGo(t, await buildGo(cell), { args: ['selects'] });
  const { stdout } = await gospyHere(['waits', '--pid', String(program.pid)]);
  t.equal(stdout.match(/in a select/g)?.length, 1);
  t.notMatch(stdout, /keepAlive|lone/);
});

t.test('waits: one goroutine is followed, and the graph is drawn', async (t) => {
  const [cell] = STUCK_CELLS;
  if (cell === undefined || !requireGo(t)) return;
  const program = await startGo(t, await buildGo(cell), { args: ['sql'] });
  const file = join(temporaryFolder(t), 'stuck.gsp');
  t.equal((await gospyHere(['capture', '--pid', String(program.pid), '-o', file])).code, 0);
  await program.kill();
  const cycle = causeOf(program.stdout, 'cycle')?.map(Number) ?? [];
  const all = await documentOf<Waits>(['waits', file]);
  const request = all.edges.find(({ from }) => !cycle.includes(from))?.from ?? 0;
  const followed = await documentOf<Waits & { chain: { goid: number }[] }>(['waits', file, '--goid', String(request)]);
  t.same(followed.chain.map(({ goid }) => goid).slice(0, 1), [request]);
  t.same(new Set(followed.chain.map(({ goid }) => goid)), new Set([request, ...cycle]));
  t.same(new Set(followed.edges.map(({ from }) => from)), new Set([request, ...cycle]));
  const { stdout: dot } = await gospyHere(['waits', file, '--dot']);
  t.match(dot, /^digraph waits \{\n[^]*\}\n$/);
  for (const goid of cycle) t.match(dot, new RegExp(`"1\\.${goid}" \\[color=red\\]`));
  t.match(dot, /label="\d+ more"/);
  t.equal((await gospyHere(['waits', file, '--goid', '999999'])).code, 2, 'there is no such goroutine');
});

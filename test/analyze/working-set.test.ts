import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { ANALYSES } from '../../analyze/analyses.js';
import { extract } from '../../analyze/extract.js';
import { openProgram, openPrograms } from '../../analyze/program.js';
import { captureToFile, type CaptureMode } from '../../capture/capture.js';
import { LiveProcess } from '../../capture/process/live-process.js';
import { openCore } from '../../snapshots/elf/core-image.js';
import { writeCore } from '../../snapshots/elf/core-write.js';
import { ElfFile } from '../../snapshots/elf/elf-file.js';
import { ElfSource } from '../../snapshots/elf/elf-source.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import { withParts, type ProcessImage } from '../../snapshots/image.js';
import { LayeredSource, Memory } from '../../snapshots/memory.js';
import { plus } from '../../snapshots/address.js';
import { gcore } from '../support/cores.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { without } from '../support/altered-memory.js';
import { untilQuiet } from '../support/quiet.js';
import { ALIKE_CELLS, cellName, type Cell } from '../support/releases.js';
import { threadStates, until } from '../capture/targets.js';

const REPORTS = new URL('../../analyze/report/', import.meta.url);

t.test('analyses: every report that says what it reads is in the list', async (t) => {
  const found: unknown[] = [];
  for (const name of readdirSync(REPORTS).filter((file) => file.endsWith('.js'))) {
    const module = (await import(new URL(name, REPORTS).href)) as Record<string, unknown>;
    found.push(...Object.keys(module).flatMap((key) => (key.endsWith('Analysis') ? [module[key]] : [])));
  }
  t.ok(found.length >= 8);
  t.same(new Set(ANALYSES), new Set(found));
});

/** Words of arguments that are left over from earlier calls. A thread of the runtime that woke up since has left others. */
const LEFT_OVER = /0x[0-9a-f]+\?/g;

/** The answers of all analyses by name, as lines of JSON. */
function answersOf(image: ProcessImage): Map<string, string[]> {
  const program = openProgram(image);
  const textOf = (answer: unknown): string => JSON.stringify(answer, null, 1).replace(LEFT_OVER, '?');
  return new Map(ANALYSES.map(({ name, answer }) => [name, textOf(answer(program)).split('\n')]));
}

/**
 * The first difference between each answer on an image and that on the same image over the memory of the process. What
 * goroutines work on needs no memory of a snapshot: captures find it out before.
 */
function differences(complete: ProcessImage, live: Memory): string[] {
  const image = withParts(complete, { work: { level: 'none', byG: new Map() } });
  const expected = answersOf(withParts(image, { memory: live }));
  return [...answersOf(image)].flatMap(([name, lines]) => {
    const wanted = expected.get(name) ?? [];
    const at = lines.findIndex((line, i) => line !== wanted[i]);
    return at < 0 && lines.length === wanted.length
      ? []
      : [`${name}: ${lines[at] ?? 'end'}, not ${wanted[at] ?? 'end'}`];
  });
}

t.test('extract: of a damaged image, what is left of the scheduler stays', async (t) => {
  const snapshot = openSnapshot(fileURLToPath(new URL('../../../snapshots/samples/queue.gsp', import.meta.url)));
  t.teardown(() => snapshot.close());
  const { allp } = openProgram(snapshot).globals;
  const image = withParts(snapshot, { memory: without(snapshot.memory, { lo: allp, hi: plus(allp, 24) }) });
  const path = join(temporaryFolder(t), 'left.gsp');
  const { image: facts, groups } = extract(openPrograms(image));
  await writeSnapshot(path, { image: facts, memory: groups });
  withFile(openSnapshot(path), (left) => t.same(differences(left, image.memory), []));
});

/** Calls `use` with an image that has nothing but a file of its own. */
function withFile(image: ProcessImage & { close(): void }, use: (image: ProcessImage) => void): void {
  try {
    use(image);
  } finally {
    image.close();
  }
}

interface Place {
  readonly pid: number;
  readonly executable: string;
  readonly folder: string;
}
type Check = (kind: string, image: ProcessImage) => void;

/** Captures a process and checks the snapshot by itself. */
async function checkSnapshot(t: Test, { pid, folder }: Place, mode: CaptureMode, check: Check): Promise<string> {
  const path = join(folder, `${mode}.gsp`);
  const report = await captureToFile(pid, path, { mode, writer: 'test' });
  t.same(report.warnings, []);
  t.equal(report.mode, mode);
  withFile(openSnapshot(path), (image) => check(`snapshot by ${mode}`, image));
  return path;
}

/** Checks a core with its executable, and the snapshot made of both by itself. */
async function checkCore(path: string, { executable }: Place, check: Check): Promise<void> {
  const core = openCore(path);
  const file = ElfFile.open(executable);
  const memory = new Memory(new LayeredSource([core.memory.source, new ElfSource(file, 0)]));
  const whole = withParts(core, { memory });
  check(`${basename(path)} with its executable`, whole);
  const { image, groups } = extract(openPrograms(whole));
  await writeSnapshot(`${path}.gsp`, { image, memory: groups });
  file.close();
  core.close();
  withFile(openSnapshot(`${path}.gsp`), (image) => check(`snapshot of ${basename(path)}`, image));
}

async function exportCore(snapshot: string): Promise<string> {
  const image = openSnapshot(snapshot);
  await writeCore(`${snapshot}.core`, image).finally(() => image.close());
  return `${snapshot}.core`;
}

/**
 * Goroutines in every state, and wrappers that left no frame; labels that are a map, and labels that are a list; many that are
 * alike.
 */
const CELLS: readonly Cell[] = [
  { fixture: 'park', release: '1.12', link: 'stripped' },
  { fixture: 'park', release: '1.26', link: 'stripped' },
  { fixture: 'profiled', release: '1.23', link: 'stripped' },
  { fixture: 'profiled', release: '1.27', link: 'stripped' },
  ...ALIKE_CELLS,
];

for (const cell of CELLS) {
  t.test(`working set: every snapshot has what the analyses read (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const executable = await buildGo(cell);
    // Goroutines with ancestors are not alike.
    const env = cell.fixture === 'alike' ? {} : { GODEBUG: 'tracebackancestors=5' };
    const program = await startGo(t, executable, { env });
    const place = { pid: program.pid, executable, folder: temporaryFolder(t) };
    const live = new LiveProcess(program.pid, 'read');
    t.teardown(() => live.close());
    const check = (kind: string, image: ProcessImage): void => {
      t.same(differences(image, live.image().memory), [], kind);
    };

    await untilQuiet(program.pid);
    // A stopped process cannot be cloned. `park` has collected garbage: its scavenger wakes up even while it is quiet.
    if (cell.fixture !== 'park') await checkSnapshot(t, place, 'clone', check);
    // From here on, nothing in the process changes.
    program.signal('SIGSTOP');
    await until(() => threadStates(program.pid).every((state) => state === 'T'));
    const stopped = await checkSnapshot(t, place, 'stop', check);
    await checkSnapshot(t, place, 'live', check);
    await checkCore(await exportCore(stopped), place, check);
    await checkCore(await gcore(t, program.pid), place, check);
  });
}

import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import t, { type Test } from 'tap';
import { extract } from '../../analyze/extract.js';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import type { WaitsOn } from '../../analyze/waits/model.js';
import { WaitsOnReader } from '../../analyze/waits/waits-on.js';
import { captureToImage } from '../../capture/capture.js';
import { hex } from '../../snapshots/address.js';
import { openCore } from '../../snapshots/elf/core-image.js';
import { openSnapshot } from '../../snapshots/gsp/read.js';
import { writeSnapshot } from '../../snapshots/gsp/write.js';
import { openCorePrograms } from '../../src/targets/core-files.js';
import { gcore } from '../support/cores.js';
import { dumpEmulated, requireEmulator } from '../support/emulated.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { temporaryFolder } from '../support/gsp.js';
import { untilQuiet } from '../support/quiet.js';
import { cellName } from '../support/releases.js';
import { ALL_WAITS_CELLS, ALL_WAITS_CORE_CELLS } from '../support/wait-cells.js';

/** What `allwaits` says that a goroutine waits on: some of what is known of it. */
interface Said {
  readonly kind: string;
  readonly addr?: string | null;
  /** Bounds of times of CLOCK_MONOTONIC. */
  readonly due?: readonly [number, number];
  readonly deadline?: readonly [number, number] | null;
  readonly [key: string]: unknown;
}

/** The part of what was found that the program speaks of; what it says of times if they fit. */
function asSaid(found: WaitsOn, said: Said, monotonicNs: bigint | null): unknown {
  const within = (ns: number | null | undefined, bounds: unknown): unknown => {
    if (ns === null || ns === undefined) return ns;
    const [from = 0, to = 0] = bounds as number[];
    const at = ns + Number(monotonicNs);
    return at >= from && at <= to ? bounds : at;
  };
  const { addr, state, dueNs, deadlineNs, ...rest } = found;
  const all: Record<string, unknown> = {
    ...rest,
    addr: addr === null ? null : hex(addr),
    state: state === undefined ? undefined : { locked: state.locked, readers: state.readers, waiters: state.waiters },
    due: within(dueNs, said.due),
    deadline: within(deadlineNs, said.deadline),
  };
  return Object.fromEntries(Object.keys(known(said, monotonicNs)).map((key) => [key, all[key]]));
}

/** What the program says, without the times that only an image with a clock can tell. */
function known(said: Said, monotonicNs: bigint | null): Said {
  const { due, deadline, ...rest } = said;
  if (monotonicNs !== null || !Array.isArray(due ?? deadline)) return { ...said };
  return rest;
}

/** What the program said and was not found, and what was found that it did not say. */
function faultsOf(program: GoProgram, output: string): { count: number; faults: unknown[] } {
  const { monotonicNs } = program.image.capture;
  const lines = output.split('\n').filter((line) => line.startsWith('wait '));
  const said = new Map(
    lines.map((line) => {
      const { goid, on } = JSON.parse(line.slice('wait '.length)) as { goid: number; on: Said[] };
      return [goid, on] as const;
    }),
  );
  const reader = new WaitsOnReader(program);
  const faults: unknown[] = [];
  let count = 0;
  for (const g of program.goroutinesWith(new Set(said.keys()))) {
    count++;
    const left = [...reader.of(g)];
    const missing = (said.get(g.goid) ?? []).filter((one) => {
      const i = left.findIndex((found) => isDeepStrictEqual(asSaid(found, one, monotonicNs), known(one, monotonicNs)));
      if (i >= 0) left.splice(i, 1);
      return i < 0;
    });
    if (missing.length + left.length > 0) faults.push({ goid: g.goid, missing, left });
  }
  return { count, faults };
}

function check(t: Test, program: GoProgram, output: string, kind: string): void {
  const { count, faults } = faultsOf(program, output);
  t.equal(count, output.match(/^wait /gm)?.length, `${kind}: all goroutines`);
  t.ok(count > 40, `${count} goroutines`);
  t.same(faults, [], kind);
}

for (const cell of ALL_WAITS_CELLS) {
  t.test(`waits: each goroutine waits on what it says that it does (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    // Programs that were written for Go 1.22 and older have timers of the old kind, up to Go 1.26.
    const env = cell.args === undefined ? {} : { GODEBUG: 'asynctimerchan=1' };
    const running = await startGo(t, await buildGo(cell), { env });
    await untilQuiet(running.pid);
    for (const mode of ['stop', 'clone', 'live'] as const) {
      const { image } = await captureToImage(running.pid, { mode, writer: 'test' });
      // Where a stop is about as short as a clone, as with the memory of the race detector, either may be taken.
      const isShort = image.capture.warnings.some(({ message }) => message.includes('a stop is shorter here'));
      t.equal(image.capture.mode, isShort ? 'stop' : mode);
      check(t, openProgram(image), running.stdout, mode);
    }
    await running.kill();
  });
}

async function dump(t: Test, path: string): Promise<{ core: string; stdout: string }> {
  const running = await startGo(t, path);
  const core = await gcore(t, running.pid);
  await running.kill();
  return { core, stdout: running.stdout };
}

for (const cell of ALL_WAITS_CORE_CELLS) {
  t.test(`waits: of a core, and of the snapshot made of it (${cellName(cell)})`, async (t) => {
    if (!requireGo(t) || (cell.arch === 'arm64' && !requireEmulator(t))) return;
    const path = await buildGo(cell);
    const { stdout, ...dumped } = cell.arch === 'arm64' ? await dumpEmulated(t, path) : await dump(t, path);
    const core = openCore(dumped.core);
    const { programs, close } = openCorePrograms(core, { bin: path });
    t.teardown(() => {
      close();
      core.close();
    });
    check(t, programs[0], stdout, 'core');
    const distilled = join(temporaryFolder(t), 'core.gsp');
    const { image, groups } = extract(programs);
    await writeSnapshot(distilled, { image, memory: groups });
    const snapshot = openSnapshot(distilled);
    t.teardown(() => snapshot.close());
    check(t, openProgram(snapshot), stdout, 'snapshot of the core');
  });
}

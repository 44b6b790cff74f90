import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { openProgram, type GoProgram } from '../../analyze/program.js';
import type { WaitsOn } from '../../analyze/waits/model.js';
import { WaitsOnReader } from '../../analyze/waits/waits-on.js';
import { captureToImage } from '../../capture/capture.js';
import { hex } from '../../snapshots/address.js';
import { buildGo, requireGo, startGo } from '../support/go.js';
import { ALL_WAITS_CELLS, cellName } from '../support/releases.js';

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
function asSaid(found: WaitsOn, said: Said, monotonicNs: number): unknown {
  const within = (ns: number | null | undefined, bounds: unknown): unknown => {
    if (ns === null || ns === undefined) return ns;
    const [from = 0, to = 0] = bounds as number[];
    const at = ns + monotonicNs;
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
  return Object.fromEntries(Object.keys(said).map((key) => [key, all[key]]));
}

/** What the program said and was not found, and what was found that it did not say. */
function faultsOf(program: GoProgram, output: string): { count: number; faults: unknown[] } {
  const monotonicNs = Number(program.image.capture.monotonicNs);
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
      const i = left.findIndex((found) => isDeepStrictEqual(asSaid(found, one, monotonicNs), { ...one }));
      if (i >= 0) left.splice(i, 1);
      return i < 0;
    });
    if (missing.length + left.length > 0) faults.push({ goid: g.goid, missing, left });
  }
  return { count, faults };
}

for (const cell of ALL_WAITS_CELLS) {
  t.test(`waits: each goroutine waits on what it says that it does (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const running = await startGo(t, await buildGo(cell));
    for (const mode of ['stop', 'live'] as const) {
      const { image } = await captureToImage(running.pid, { mode, writer: 'test' });
      const { count, faults } = faultsOf(openProgram(image), running.stdout);
      t.ok(count > 40, `${count} goroutines`);
      t.same(faults, [], `mode ${mode}`);
    }
    await running.kill();
  });
}

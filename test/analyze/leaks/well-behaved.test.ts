import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { openProgram } from '../../../analyze/program.js';
import { findLeaks, type LeakGroup } from '../../../analyze/report/leaks.js';
import { captureToFile } from '../../../capture/capture.js';
import { openSnapshot } from '../../../snapshots/gsp/read.js';
import { withParts } from '../../../snapshots/image.js';
import { FULL_SIZE } from '../../support/full-size.js';
import { buildGo, requireGo, startGo } from '../../support/go.js';
import { temporaryFolder } from '../../support/gsp.js';
import { cellName, SERVERS_CELLS } from '../../support/releases.js';

/** How long the load goes on for each program: GOSPY_SOAK_MINUTES for all together, for a soak test. */
const SOAK_MS = (Number(process.env['GOSPY_SOAK_MINUTES'] ?? 0) * 60_000) / SERVERS_CELLS.length;
const LOAD_MS = Math.max(SOAK_MS, FULL_SIZE ? 10_000 : 1500);
const BETWEEN_MS = 200;
/** Goroutines that have waited for a minute may be suspected. */
const TWO_MINUTES_NS = 120_000_000_000n;

t.setTimeout(2 * SERVERS_CELLS.length * LOAD_MS + 300_000);

const PROOF = { mode: 'clone', writer: 'test', leaks: { maxHeapBytes: 2 ** 30 } } as const;
const NO_PROOF = { mode: 'stop', writer: 'test' } as const;

/** What is found in a snapshot, as if it had been made `laterNs` later. */
function groupsIn(path: string, laterNs = 0n): { proof: string | null; groups: readonly LeakGroup[] } {
  const image = openSnapshot(path);
  try {
    const { monotonicNs } = image.capture;
    const capture = { ...image.capture, monotonicNs: monotonicNs === null ? null : monotonicNs + laterNs };
    return findLeaks(openProgram(withParts(image, { capture }))).value;
  } finally {
    image.close();
  }
}

function named(groups: readonly LeakGroup[]): string[] {
  return groups.map(({ verdict, count, entry, evidence }) => {
    const weak = evidence.some(({ code }) => code === 'weak') ? 'weak ' : '';
    return `${weak}${verdict}: ${count} ${entry?.func ?? '?'}`;
  });
}

for (const cell of SERVERS_CELLS) {
  t.test(`leaks: none in twelve kinds of servers and pools under load (${cellName(cell)})`, async (t) => {
    if (!requireGo(t)) return;
    const running = await startGo(t, await buildGo(cell));
    const path = join(temporaryFolder(t), 'servers.gsp');
    const found = new Set<string>();
    let captures = 0;
    for (const end = performance.now() + LOAD_MS; performance.now() < end || captures === 0; captures++) {
      const { warnings } = await captureToFile(running.pid, path, PROOF);
      t.same(warnings, []);
      const { proof, groups } = groupsIn(path);
      t.equal(proof, 'marked');
      for (const one of named(groups)) found.add(one);
      await captureToFile(running.pid, path, NO_PROOF);
      for (const one of named(groupsIn(path).groups)) if (!one.startsWith('weak ')) found.add(one);
      await setTimeout(BETWEEN_MS);
    }
    t.same([...found], [], `in ${captures} captures nothing is called a leak, or suspected`);
    await running.ask('leak 30');
    await captureToFile(running.pid, path, PROOF);
    t.match(named(groupsIn(path).groups), [/^proved: \d+ main\.leaked$/], 'what is leaked is found beside them');

    await running.ask('rest');
    await captureToFile(running.pid, path, NO_PROOF);
    const later = named(groupsIn(path, TWO_MINUTES_NS).groups);
    const suspected = later.flatMap((one) => /^suspect: (\d+) main\.leaked$/.exec(one)?.[1] ?? []).map(Number);
    // A stale word on another stack may look like a reference.
    t.ok((suspected[0] ?? 0) > 20, `after two minutes: ${later.join()}`);
    const others = later.filter((one) => !/^weak | main\.(leaked|\(\*topic\)\.subscribe)$/.test(one));
    t.same(others, [], 'idle servers, pools, signals and timers are no suspects, nor what shares or is referred to');
  });
}
